/* Terminal colours as spans: text in, nodes out. What a test writes is only ever text, never markup.
   Source of the codes: ECMA-48, section 8.3.117 (SGR); 38;5 and 38;2 as xterm understands them. */
(() => {
  "use strict";

  const SGR = /\x1b\[([\d;:]*)m/g;
  // Other sequences and controls have nothing to say on a page: CSI, OSC up to its end, two-character escapes.
  const OTHER = /\x1b\[[0-?]*[ -/]*[@-ln-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b[@-Z\\-_]|[\x00-\x08\x0b\x0c\x0e-\x1a\x1c-\x1f\x7f]/g;
  const PLAIN = Object.freeze({});
  const ON = { 1: ["bold", true], 2: ["faint", true], 3: ["italic", true], 4: ["under", true], 7: ["inverse", true] };
  const OFF = { 22: ["bold", "faint"], 23: ["italic"], 24: ["under"], 27: ["inverse"], 39: ["fg"], 49: ["bg"] };

  const cube = (n) => {
    if (n < 16) return n;
    if (n > 231) return `rgb(${Array(3).fill((n - 232) * 10 + 8)})`;
    const part = (at) => { const step = Math.floor((n - 16) / at) % 6; return step ? step * 40 + 55 : 0; };
    return `rgb(${[part(36), part(6), part(1)]})`;
  };

  const coloured = (codes, at) => { // what follows 38 or 48: the colour, and how many codes it took
    if (codes[at] === 5 && codes[at + 1] < 256) return [cube(codes[at + 1]), 2];
    if (codes[at] === 2 && codes.slice(at + 1, at + 4).every((n) => n < 256)) return [`rgb(${codes.slice(at + 1, at + 4)})`, 4];
    return [undefined, codes.length];
  };

  const apply = (style, text) => {
    const codes = text.split(/[;:]/).map(Number);
    let next = { ...style };
    for (let i = 0; i < codes.length; i++) {
      const code = codes[i];
      if (code === 0) next = {};
      else if (ON[code]) next[ON[code][0]] = ON[code][1];
      else if (OFF[code]) OFF[code].forEach((name) => delete next[name]);
      else if (code === 38 || code === 48) {
        const [colour, taken] = coloured(codes, i + 1);
        if (colour !== undefined) next[code === 38 ? "fg" : "bg"] = colour;
        i += taken;
      } else if ((code >= 30 && code < 38) || (code >= 90 && code < 98)) next.fg = code < 38 ? code - 30 : code - 82;
      else if ((code >= 40 && code < 48) || (code >= 100 && code < 108)) next.bg = code < 48 ? code - 40 : code - 92;
    }
    return next;
  };

  const plain = (line) => line.replace(SGR, "").replace(OTHER, "");

  // How text looks after this line, if it looked like `style` before.
  const after = (line, style) => {
    if (!line.includes("\x1b[")) return style;
    let next = style;
    for (const [, codes] of line.matchAll(SGR)) next = apply(next, codes);
    return next;
  };

  const dress = (span, { fg, bg, ...rest }) => {
    for (const name of Object.keys(rest)) span.classList.add(`ansi-${name}`);
    for (const [colour, kind, property] of [[fg, "fg", "color"], [bg, "bg", "backgroundColor"]]) {
      if (typeof colour === "number") span.classList.add(`ansi-${kind}-${colour}`);
      else if (colour) span.style[property] = colour;
    }
    return span;
  };

  const nodes = (line, style) => {
    const made = document.createDocumentFragment();
    const add = (text, look) => {
      const shown = text.replace(OTHER, "");
      if (!shown) return;
      if (!Object.keys(look).length) { made.append(shown); return; }
      const span = dress(document.createElement("span"), look);
      span.textContent = shown;
      made.append(span);
    };
    let at = 0, look = style;
    for (const match of line.matchAll(SGR)) {
      add(line.slice(at, match.index), look);
      look = apply(look, match[1]);
      at = match.index + match[0].length;
    }
    add(line.slice(at), look);
    return made;
  };

  window.Opsroom = window.Opsroom || {};
  window.Opsroom.ansi = { PLAIN, plain, after, nodes };
})();

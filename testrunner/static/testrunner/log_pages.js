/* The lines of a log that may be a hundred megabytes: it is read once from the first byte to count its lines, and cut
   into pages at ends of lines; only some pages are kept, and others are asked for again when they are looked at. */
(() => {
  "use strict";

  const PAGE = 256 * 1024, STEP = 1024 * 1024, KEPT = 64, NEWLINE = 10;
  const FAILURE = /^(?:E {3,}|_{3,} .* _{3,}$|(?:FAILED|ERROR) \S)/; // how pytest begins to tell of one

  class LogPages {
    #address; #pages = []; #kept = new Map(); #asked = new Set(); #pulling = false; #decoder = new TextDecoder();
    #open = { bytes: new Uint8Array(0), first: 0, style: Opsroom.ansi.PLAIN, lines: [] }; // not yet a page
    read = 0; size = 0; firstFailure = null; onchange = () => {};

    constructor(address) { this.#address = address; }

    get lines() { return this.#open.first + this.#open.lines.length; }

    // The log reaches as far as `size` now, as far as one has heard.
    async reach(size) {
      this.size = Math.max(this.size, size);
      if (this.#pulling) return;
      this.#pulling = true;
      try {
        while (this.read < this.size) {
          const bytes = await this.#fetch(this.read, Math.min(this.read + STEP, this.size));
          if (!bytes.length) break;
          this.#feed(bytes);
          this.onchange();
        }
      } finally { this.#pulling = false; }
    }

    // The line and the look of its beginning; null while its page is being fetched.
    line(number) {
      if (number >= this.#open.first) return this.#open.lines[number - this.#open.first] || null;
      const at = this.#pageOf(number);
      const lines = this.#kept.get(at);
      if (!lines) { this.#ask(at); return null; }
      return lines[number - this.#pages[at].first];
    }

    // The numbers of the lines that `fits`, page by page; `told` hears how far it is, and ends it by returning false.
    async search(fits, told) {
      for (let at = 0; at <= this.#pages.length; at++) {
        const page = this.#pages[at];
        const lines = page ? this.#kept.get(at) || (await this.#load(at)) : this.#open.lines;
        const found = [];
        lines.forEach(({ text }, i) => { if (fits(text)) found.push((page ? page.first : this.#open.first) + i); });
        if (!told(found, (at + 1) / (this.#pages.length + 1))) return;
        if (at % 8 === 7) await new Promise(requestAnimationFrame);
      }
    }

    #feed(bytes) {
      this.read += bytes.length;
      const whole = new Uint8Array(this.#open.bytes.length + bytes.length);
      whole.set(this.#open.bytes);
      whole.set(bytes, this.#open.bytes.length);
      let from = 0;
      while (whole.length - from > PAGE) {
        const end = whole.lastIndexOf(NEWLINE, from + PAGE) + 1;
        if (end <= from) break; // one line, longer than a page: it waits for its end
        from += this.#close(whole.subarray(from, end));
      }
      this.#open.bytes = whole.slice(from);
      this.#open.lines = this.#cut(this.#open.bytes, this.#open.style);
      this.#lookForFailure(this.#open.lines, this.#open.first);
    }

    #close(bytes) {
      const { first, style } = this.#open;
      const start = this.#pages.length ? this.#pages.at(-1).end : 0;
      const lines = this.#cut(bytes, style);
      this.#keep(this.#pages.push({ start, end: start + bytes.length, first, style }) - 1, lines);
      this.#lookForFailure(lines, first);
      const last = lines.at(-1);
      this.#open = { ...this.#open, first: first + lines.length, style: Opsroom.ansi.after(last.text, last.style), lines: [] };
      return bytes.length;
    }

    #cut(bytes, style) {
      const texts = this.#decoder.decode(bytes).split("\n");
      if (texts.at(-1) === "") texts.pop();
      return texts.map((whole) => {
        // A line that was written over shows its last state, in the colours that its earlier ones left.
        const states = whole.replace(/\r+$/, "").split("\r"), text = states.pop();
        const line = { text, style: states.reduce((look, state) => Opsroom.ansi.after(state, look), style) };
        style = Opsroom.ansi.after(text, line.style);
        return line;
      });
    }

    #lookForFailure(lines, first) {
      if (this.firstFailure !== null) return;
      const found = lines.findIndex(({ text }) => FAILURE.test(Opsroom.ansi.plain(text)));
      if (found >= 0) this.firstFailure = first + found;
    }

    #pageOf(number) {
      let low = 0, high = this.#pages.length - 1;
      while (low < high) {
        const middle = Math.ceil((low + high) / 2);
        if (this.#pages[middle].first <= number) low = middle; else high = middle - 1;
      }
      return low;
    }

    #keep(at, lines) {
      this.#kept.delete(at);
      this.#kept.set(at, lines);
      if (this.#kept.size > KEPT) this.#kept.delete(this.#kept.keys().next().value);
    }

    async #load(at) {
      const { start, end, style } = this.#pages[at];
      const lines = this.#cut(await this.#fetch(start, end), style);
      this.#keep(at, lines);
      return lines;
    }

    #ask(at) {
      if (this.#asked.has(at)) return;
      this.#asked.add(at);
      this.#load(at).then(() => this.onchange(), () => {}).finally(() => this.#asked.delete(at));
    }

    async #fetch(start, end) {
      const answer = await fetch(this.#address, { headers: { Range: `bytes=${start}-${end - 1}` }, cache: "no-store" });
      return answer.status === 206 ? new Uint8Array(await answer.arrayBuffer()) : new Uint8Array(0);
    }
  }

  window.Opsroom = window.Opsroom || {};
  window.Opsroom.LogPages = LogPages;
})();

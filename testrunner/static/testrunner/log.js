/* A run's log on its page: only the lines in view are in the document, however many there are. */
(() => {
  "use strict";

  const HEIGHT = 20, SPARE = 20, TALLEST = 8_000_000, MAX_FOUND = 10_000; // px, lines, px a browser can scroll, lines

  const start = (root) => {
    const part = (name) => root.querySelector(`[data-log-${name}]`);
    const view = part("view"), tall = part("tall"), rows = part("rows"), note = part("note"), query = part("query");
    const pages = new Opsroom.LogPages(root.dataset.address);
    let follow = root.dataset.running === "yes", drawing = false, quiet = 0, term = "", found = [], at = -1, searching = 0;

    // --- Where things are: a very long log is scrolled in steps of more than a line ---
    const height = () => Math.min(pages.lines * HEIGHT, TALLEST);
    const scale = () => {
      const beyond = height() - view.clientHeight; // what is out of view; the last line must be reached, too
      return beyond > 0 ? (pages.lines * HEIGHT - view.clientHeight) / beyond : 1;
    };
    const topLine = () => Math.floor((view.scrollTop * scale()) / HEIGHT);
    const scrollTo = (pixels) => { quiet = performance.now(); view.scrollTop = pixels; };
    const goTo = (line) => {
      setFollow(false);
      scrollTo(Math.max(0, (line * HEIGHT - view.clientHeight / 3) / scale()));
      draw();
    };

    // --- Drawing ---
    const mark = (code, text) => {
      if (!term) return;
      const first = code.textContent.toLowerCase().indexOf(term);
      if (first < 0) return;
      const range = document.createRange(), walker = document.createTreeWalker(code, NodeFilter.SHOW_TEXT);
      let seen = 0, node;
      while ((node = walker.nextNode())) {
        const from = Math.max(0, first - seen), to = Math.min(node.length, first + term.length - seen);
        if (from < to) {
          range.setStart(node, from);
          range.setEnd(node, to);
          const inside = document.createElement("mark");
          range.surroundContents(inside);
          walker.currentNode = inside.firstChild;
          seen += from + inside.textContent.length;
          continue;
        }
        seen += node.length;
      }
    };
    const row = (number) => {
      const line = pages.line(number), element = document.createElement("div"), code = document.createElement("code");
      element.className = "log-row" + (found[at] === number ? " is-found" : "");
      element.dataset.number = number + 1;
      if (line) code.append(Opsroom.ansi.nodes(line.text, line.style)); else code.textContent = "…";
      mark(code);
      element.append(code);
      return element;
    };
    const draw = () => {
      drawing = false;
      tall.style.height = `${height()}px`;
      if (follow) scrollTo(height());
      const top = topLine(), first = Math.max(0, top - SPARE);
      const last = Math.min(pages.lines, top + Math.ceil(view.clientHeight / HEIGHT) + SPARE);
      rows.style.transform = `translateY(${first * HEIGHT + view.scrollTop * (1 - scale())}px)`;
      rows.replaceChildren(...Array.from({ length: Math.max(0, last - first) }, (_, i) => row(first + i)));
      tell();
    };
    const soon = () => { if (!drawing) { drawing = true; requestAnimationFrame(draw); } };
    const tell = () => {
      const more = pages.read < pages.size ? ` · reading, ${Math.floor((pages.read / pages.size) * 100)} %` : "";
      const running = root.dataset.running === "yes";
      // Masks and characters that were not cut in two may take some bytes of the head.
      const silent = running && pages.size > Number(root.dataset.head) - 4096 ? " · what follows is shown at the end of the run" : "";
      part("count").textContent = pages.lines
        ? `${pages.lines.toLocaleString("en-GB")} lines, ${pages.size.toLocaleString("en-GB")} bytes${more}${silent}` : "";
      note.hidden = pages.lines > 0;
      note.textContent = running ? "Nothing written yet." : "This run has written nothing.";
      part("failure").hidden = pages.firstFailure === null;
    };

    // --- Following ---
    const setFollow = (on) => {
      follow = on;
      part("follow").setAttribute("aria-pressed", String(on));
    };
    view.addEventListener("scroll", () => {
      if (performance.now() - quiet > 120) {
        const end = view.scrollTop + view.clientHeight >= height() - HEIGHT;
        if (!end || root.dataset.running === "yes") setFollow(end);
      }
      soon();
    });
    part("follow").addEventListener("click", () => { setFollow(!follow); soon(); });
    part("failure").addEventListener("click", () => goTo(pages.firstFailure));
    new ResizeObserver(soon).observe(view);

    // --- Search ---
    const say = (text) => { part("found").textContent = text; };
    const step = (by) => {
      if (!found.length) return;
      at = (at + by + found.length) % found.length;
      say(`${(at + 1).toLocaleString("en-GB")} of ${found.length.toLocaleString("en-GB")}${found.length >= MAX_FOUND ? " or more" : ""}`);
      goTo(found[at]);
    };
    const search = async () => {
      const mine = ++searching;
      term = query.value.toLowerCase();
      found = [];
      at = -1;
      say("");
      soon();
      if (!term) return;
      await pages.search((text) => Opsroom.ansi.plain(text).toLowerCase().includes(term), (more, share) => {
        if (mine !== searching) return false;
        found.push(...more);
        if (at < 0) say(share < 1 ? `Searching, ${Math.floor(share * 100)} %` : "Not found");
        if (at < 0 && found.length) step(1);
        return found.length < MAX_FOUND;
      });
      if (mine === searching && at >= 0) step(0);
    };
    let typing = null;
    query.addEventListener("input", () => { clearTimeout(typing); typing = setTimeout(search, 250); });
    query.addEventListener("keydown", (event) => {
      if (event.key !== "Enter") return;
      event.preventDefault();
      if (query.value.toLowerCase() === term) step(event.shiftKey ? -1 : 1); else search();
    });
    part("next").addEventListener("click", () => step(1));
    part("previous").addEventListener("click", () => step(-1));

    // --- What is new ---
    pages.onchange = soon;
    const hear = ({ type, data }) => {
      if (type === "testrun.updated") {
        root.dataset.running = ["queued", "running"].includes(data.status) ? "yes" : "no";
        soon();
      }
      pages.reach(data.size ?? data.log_size ?? 0);
    };
    const again = () => fetch(root.dataset.address, { method: "HEAD", cache: "no-store" })
      .then((answer) => pages.reach(Number(answer.headers.get("Content-Length")) || 0), () => {});
    Opsroom.live.subscribe([root.dataset.topic], hear, again);
    setFollow(follow);
    pages.reach(Number(root.dataset.size));
    tell();
  };

  document.addEventListener("DOMContentLoaded", () => document.querySelectorAll("[data-log]").forEach(start));
})();

/* What the board and the calendar have in common: things that are moved between places by dragging or by the keyboard.
   A thing moves at once, and goes back with a word why if the server refuses. What others do arrives by live.js: the
   parts (data-part) are fetched again, except while one is dragging, or about to.

   Opsroom.moves(root, { thing, place, list, fields, moved, query }) returns { move, refresh, post, inOrder, … }. */
(() => {
  "use strict";

  const tokenOf = () => document.querySelector("[name=csrfmiddlewaretoken]").value;
  const post = async (address, fields) => {
    let answer;
    try {
      answer = await fetch(address, {
        method: "POST", body: new URLSearchParams(fields), headers: { "X-CSRFToken": tokenOf(), Accept: "application/json" },
      });
    } catch {
      throw new Error("The server does not answer.");
    }
    if (answer.redirected || answer.status === 401) throw new Error("You are signed out. Reload the page to sign in again.");
    const body = await answer.json().catch(() => ({}));
    if (!answer.ok) throw new Error(body.detail || (answer.status === 403 ? "You may not do this." : "The server could not do this."));
    return body;
  };

  const moves = (root, { thing, place, list, fields, moved = () => {}, query = () => "" }) => {
    const status = document.getElementById("moves-said");
    const problem = document.getElementById("moves-problem");
    const places = () => [...root.querySelectorAll(place)];
    const placeOf = (element) => element.closest && element.closest(place);
    const last = new Map(); // by task: the end of its last move
    let held = false, dragged = null, under = 0, stale = false, asked = 0, hiding = null;

    const announce = (text) => { status.textContent = text; };
    const showProblem = (text) => {
      problem.textContent = text;
      problem.hidden = !text;
      clearTimeout(hiding);
      if (text) hiding = setTimeout(() => showProblem(""), 12000);
    };

    // --- What the server has ---
    const isBusy = () => held || dragged !== null || under > 0;
    const refresh = async () => {
      stale = isBusy();
      if (stale) return;
      const mine = ++asked;
      const answer = await fetch(root.dataset.address + query()).catch(() => null);
      if (!answer || !answer.ok || answer.redirected || mine !== asked) return;
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      stale = isBusy();
      if (!stale && mine === asked) show(fresh);
    };
    const show = (fresh) => {
      const focused = root.contains(document.activeElement) && document.activeElement.closest(thing);
      for (const part of root.querySelectorAll("[data-part]")) {
        const newer = fresh.querySelector(`[data-part="${part.dataset.part}"]`);
        if (newer) part.innerHTML = newer.innerHTML;
      }
      window.opsroom.localise(root);
      const again = focused && document.getElementById(focused.id);
      if (again && !focused.isConnected) again.focus({ preventScroll: true });
    };
    const refreshIfStale = () => { if (stale) refresh(); };
    root.addEventListener("live", refresh);

    // --- Moving ---
    // Two quick moves of one thing may overtake each other on their way: the second is sent after the first's answer,
    // and the server refuses one that does not begin where the thing is.
    const inOrder = (task, change) => {
      const mine = (last.get(task) || Promise.resolve()).then(() => post(root.dataset.move, { task, ...change }));
      last.set(task, mine.catch(() => {}));
      return mine;
    };
    const move = async (card, to) => {
      const from = placeOf(card), home = card.parentElement, next = card.nextElementSibling;
      if (!to || to === from) return;
      const put = (into, before) => {
        const hadFocus = card.contains(document.activeElement);
        into.insertBefore(card, before);
        moved(); // first: what it came into may have been hidden
        if (hadFocus) card.focus();
      };
      asked += 1; // an answer that is on its way knows nothing of this
      under += 1;
      showProblem("");
      card.classList.add("is-moving");
      const into = to.querySelector(list);
      put(into, into.firstElementChild);
      try {
        await inOrder(card.dataset.task, { ...fields(to), from: Object.values(fields(from))[0] });
        announce(`${card.dataset.title}: moved to ${to.dataset.word}.`);
      } catch (error) {
        put(home, next && next.parentElement === home ? next : null);
        showProblem(`“${card.dataset.title}” is back in ${from.dataset.word}. ${error.message}`);
      }
      card.classList.remove("is-moving");
      under -= 1;
      stale = true;
      refreshIfStale();
    };

    // --- Dragging ---
    const mark = (over) => places().forEach((each) => each.classList.toggle("is-over", each === over));
    root.addEventListener("pointerdown", (event) => { held = event.button === 0 && Boolean(event.target.closest(thing)); });
    for (const end of ["pointerup", "pointercancel", "contextmenu"]) document.addEventListener(end, () => { held = false; refreshIfStale(); });
    root.addEventListener("dragstart", (event) => {
      const card = event.target.closest && event.target.closest(thing);
      if (!card || !card.draggable) return;
      dragged = card;
      event.dataTransfer.effectAllowed = "move";
      event.dataTransfer.setData("text/plain", card.dataset.title);
      requestAnimationFrame(() => card.classList.add("is-dragged"));
    });
    root.addEventListener("dragover", (event) => {
      const over = dragged && placeOf(event.target);
      mark(over);
      if (!over) return;
      event.preventDefault();
      event.dataTransfer.dropEffect = "move";
    });
    root.addEventListener("drop", (event) => {
      const over = dragged && placeOf(event.target);
      if (!over) return;
      event.preventDefault();
      move(dragged, over);
    });
    root.addEventListener("dragend", () => {
      if (dragged) dragged.classList.remove("is-dragged");
      dragged = null;
      mark(null);
      refreshIfStale();
    });

    // --- Opening ---
    root.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && event.target.matches(thing)) event.target.querySelector("a").click();
    });
    return { move, refresh, post, inOrder, announce, showProblem, places, placeOf };
  };

  window.Opsroom = window.Opsroom || {};
  window.Opsroom.moves = moves;
})();

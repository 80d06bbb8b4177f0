/* The board: arrow keys and small buttons, a new card in place, the filter. Moving itself is in moves.js. */
(() => {
  "use strict";

  const board = document.getElementById("board");
  const filter = document.getElementById("board-filter");
  const query = () => new URLSearchParams(new FormData(filter)).toString();
  const recount = () => board.querySelectorAll(".board-column").forEach((column) => {
    if (column.querySelector(".board-more")) return;
    column.querySelector(".board-count").textContent = column.querySelectorAll(".board-card").length.toLocaleString("en");
  });
  const { move, refresh, post, announce, places, placeOf } = Opsroom.moves(board, {
    thing: ".board-card", place: ".board-column", list: ".board-cards", moved: recount,
    fields: (column) => ({ status: column.dataset.status }), query: () => `?${query()}`,
  });

  board.addEventListener("keydown", (event) => {
    const card = event.target;
    if (!card.matches(".board-card") || event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    const neighbour = { ArrowUp: "previousElementSibling", ArrowDown: "nextElementSibling" }[event.key];
    if (neighbour && card[neighbour] && card[neighbour].matches(".board-card")) {
      event.preventDefault();
      card[neighbour].focus();
    }
    if (!step || !card.draggable) return;
    event.preventDefault();
    const column = placeOf(card);
    const to = places()[places().indexOf(column) + step];
    if (to) move(card, to);
    else announce(`${column.dataset.word} is the ${step < 0 ? "first" : "last"} column.`);
  });
  board.addEventListener("click", (event) => {
    const button = event.target.closest("[data-to]");
    if (button) move(button.closest(".board-card"), places().find((column) => column.dataset.status === button.dataset.to));
  });

  // --- A new card, in place ---
  const open = (form, isOpen) => {
    form.querySelector(".board-add__fields").hidden = !isOpen;
    form.querySelector(".board-add__open").hidden = isOpen;
    (isOpen ? form.elements.title : form.querySelector(".board-add__open")).focus();
  };
  const add = async (form) => {
    const error = form.querySelector(".projects-error");
    const title = form.elements.title.value;
    error.hidden = true;
    try {
      await post(form.getAttribute("action"), { title, status: form.dataset.status });
      form.elements.title.value = "";
      announce(`${title}: added.`);
      refresh();
    } catch (refused) {
      error.textContent = refused.message;
      error.hidden = false;
    }
    form.elements.title.focus();
  };
  for (const form of board.querySelectorAll(".board-add")) {
    form.querySelector(".board-add__open").addEventListener("click", () => open(form, true));
    form.querySelector("[data-close]").addEventListener("click", () => open(form, false));
    form.addEventListener("keydown", (event) => {
      if (event.key === "Escape") open(form, false);
      if (event.key !== "Enter" || event.target !== form.elements.title) return;
      event.preventDefault();
      form.requestSubmit();
    });
    let adding = false;
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      if (adding) return;
      adding = true;
      await add(form);
      adding = false;
    });
  }

  // --- The filter ---
  let typing = null;
  const filtered = () => {
    history.replaceState(null, "", `?${query()}`);
    refresh();
  };
  filter.addEventListener("input", () => { clearTimeout(typing); typing = setTimeout(filtered, 200); });
  filter.addEventListener("submit", (event) => { event.preventDefault(); filtered(); });
})();

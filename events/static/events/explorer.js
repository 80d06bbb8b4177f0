/* The explorer's chart, zoomed by dragging or by the keyboard, and the event beside the table. What is found is replaced
   while one looks (live.js), so everything is heard at the page, and nothing is replaced under one's hands. */
(() => {
  "use strict";

  let from = null, to = null, dragging = false, keyed = false; // numbers of bars

  const plotOf = (target) => target.closest && target.closest("[data-chart]");
  const bars = (plot) => [...plot.querySelectorAll("g")];
  const say = (plot, text) => { plot.parentElement.querySelector(".events-chart__said").textContent = text; };
  const barAt = (plot, x) => {
    const box = plot.getBoundingClientRect();
    const count = bars(plot).length;
    return Math.max(0, Math.min(count - 1, Math.floor((x - box.left) / box.width * count)));
  };

  const sum = (chosen, name) => chosen.reduce((total, bar) => total + Number(bar.dataset[name]), 0);
  const counted = (events, rejected) => {
    const words = `${events.toLocaleString("en-GB")} event${events === 1 ? "" : "s"}`;
    return rejected ? `${words}, ${rejected.toLocaleString("en-GB")} rejected` : words;
  };

  const show = (plot) => {
    const zone = plot.querySelector(".events-chart__zone");
    const all = bars(plot);
    zone.hidden = from === null || !all.length;
    if (zone.hidden) return say(plot, "");
    const [first, last] = [Math.min(from, to), Math.max(from, to)];
    zone.style.left = `${first / all.length * 100}%`;
    zone.style.width = `${(last - first + 1) / all.length * 100}%`;
    const chosen = all.slice(first, last + 1);
    const range = first === last ? all[first].dataset.label : `${all[first].dataset.label} – ${all[last].dataset.until}`;
    say(plot, `${range}: ${counted(sum(chosen, "events"), sum(chosen, "rejected"))}`);
  };
  const drop = (plot) => {
    from = to = null;
    dragging = keyed = false;
    show(plot);
  };
  const zoom = (plot) => {
    const all = bars(plot);
    const [first, last] = [Math.min(from, to), Math.max(from, to)];
    const query = new URLSearchParams(plot.dataset.query);
    for (const name of ["range", "cursor"]) query.delete(name);
    query.set("from", all[first].dataset.from);
    query.set("to", all[last].dataset.to);
    location.assign(`${plot.dataset.address || location.pathname}?${query}`);
  };

  // --- By dragging ---
  document.addEventListener("pointerdown", (event) => {
    const plot = plotOf(event.target);
    if (!plot || event.button !== 0) return;
    from = to = barAt(plot, event.clientX);
    dragging = true;
    plot.setPointerCapture(event.pointerId);
    show(plot);
  });
  document.addEventListener("pointermove", (event) => {
    const plot = plotOf(event.target);
    if (!plot || keyed) return;
    to = barAt(plot, event.clientX);
    if (!dragging) from = to;
    show(plot);
  });
  document.addEventListener("pointerup", (event) => {
    const plot = plotOf(event.target);
    if (!plot || !dragging) return;
    dragging = false;
    if (from !== to) zoom(plot); // a mere click only says what the bar is
  });
  document.addEventListener("pointerout", (event) => {
    const plot = plotOf(event.target);
    if (plot && !dragging && !keyed && !plot.contains(event.relatedTarget)) drop(plot);
  });
  document.addEventListener("pointercancel", (event) => {
    const plot = plotOf(event.target);
    if (plot) drop(plot);
  });

  // --- By the keyboard ---
  document.addEventListener("keydown", (event) => {
    const plot = plotOf(event.target);
    if (!plot || event.altKey || event.ctrlKey || event.metaKey) return;
    const last = bars(plot).length - 1;
    const step = { ArrowLeft: -1, ArrowRight: 1, Home: -last, End: last }[event.key];
    if (step) {
      event.preventDefault();
      keyed = true;
      to = to === null ? last : Math.max(0, Math.min(last, to + step));
      if (!event.shiftKey || from === null) from = to;
      show(plot);
    } else if (event.key === "Enter" && from !== null) {
      zoom(plot);
    } else if (event.key === "Escape") {
      drop(plot);
    }
  });
  document.addEventListener("focusout", (event) => {
    const plot = plotOf(event.target);
    if (plot && keyed) drop(plot);
  });

  // --- The event beside ---
  const choose = () => {
    const shown = document.querySelector("#explorer-beside [data-shown]");
    for (const row of document.querySelectorAll("#explorer-rows tr[data-event]")) {
      row.classList.toggle("is-chosen", shown !== null && row.dataset.event === shown.dataset.shown);
    }
  };
  document.addEventListener("click", (event) => { // all of a row is as good as its link
    const row = event.target.closest("#explorer-rows tr[data-event]");
    if (row && !event.target.closest("a") && !String(getSelection())) row.querySelector(".events-row").click();
  });
  document.addEventListener("keydown", (event) => {
    const way = { ArrowUp: "previousElementSibling", ArrowDown: "nextElementSibling" }[event.key];
    if (!way || !event.target.matches(".events-row")) return;
    const row = event.target.closest("tr")[way];
    if (!row) return;
    event.preventDefault();
    row.querySelector(".events-row").focus();
    row.querySelector(".events-row").click();
  });

  document.addEventListener("htmx:beforeSwap", (event) => {
    if (event.target.id === "explorer-found" && (dragging || keyed)) event.detail.shouldSwap = false;
  });
  document.addEventListener("htmx:afterSwap", (event) => {
    choose();
    if (event.target.id === "explorer-beside" && matchMedia("(max-width: 1023px)").matches) {
      event.target.scrollIntoView({ behavior: "smooth", block: "start" });
    }
  });

  // A field that is chosen from is as good as a button.
  document.addEventListener("change", (event) => {
    if (event.target.matches("#explorer-filter select")) event.target.form.requestSubmit();
  });
  document.addEventListener("submit", (event) => { // an address without empty fields
    if (event.target.method !== "get" || !event.target.closest(".app-events")) return;
    for (const field of event.target.elements) field.disabled = field.disabled || field.value === "";
    setTimeout(() => { for (const field of event.target.elements) field.disabled = false; });
  });
})();

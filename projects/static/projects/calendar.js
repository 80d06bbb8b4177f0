/* The calendar: arrow keys move a date by a day or a week; the address of the feed is copied. Moving is in moves.js. */
(() => {
  "use strict";

  const calendar = document.getElementById("calendar");
  const { move, say, places, placeOf } = Opsroom.moves(calendar, {
    thing: ".cal-task", place: ".cal-day", list: ".cal-tasks", fields: (day) => ({ day: day.dataset.day }),
  });

  calendar.addEventListener("keydown", (event) => {
    const task = event.target;
    const days = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -7, ArrowDown: 7 }[event.key];
    if (!days || !task.matches(".cal-task") || !task.draggable || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    const to = places()[places().indexOf(placeOf(task)) + days];
    if (to) move(task, to);
    else say("That day is not on this page.");
  });

  for (const button of document.querySelectorAll("[data-copy]")) button.addEventListener("click", async () => {
    const field = document.getElementById(button.dataset.copy);
    field.select();
    await navigator.clipboard.writeText(field.value);
    button.lastElementChild.textContent = "Copied";
  });
})();

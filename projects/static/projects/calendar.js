/* The calendar: arrow keys move a date by a day or a week, a small field moves it to any day, for those who can't drag;
   the address of the feed is copied. Moving is in moves.js. */
(() => {
  "use strict";

  const calendar = document.getElementById("calendar");
  const tidy = () => places().forEach((day) => day.classList.toggle("is-free", !day.querySelector(".cal-task")));
  const { move, refresh, inOrder, announce, showProblem, places, placeOf } = Opsroom.moves(calendar, {
    thing: ".cal-task", place: ".cal-day", list: ".cal-tasks", fields: (day) => ({ day: day.dataset.day }), moved: tidy,
  });

  calendar.addEventListener("keydown", (event) => {
    const task = event.target;
    const days = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -7, ArrowDown: 7 }[event.key];
    if (!days || !task.matches(".cal-task") || !task.draggable || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    const to = places()[places().indexOf(placeOf(task)) + days];
    if (to) move(task, to);
    else announce("That day is not on this page.");
  });

  calendar.addEventListener("change", async ({ target }) => {
    if (!target.matches(".cal-task__day") || !target.value) return;
    const task = target.closest(".cal-task"), day = target.value, { title } = task.dataset;
    const to = places().find((each) => each.dataset.day === day);
    if (to) return move(task, to);
    try {
      await inOrder(task.dataset.task, { day, from: target.defaultValue });
      announce(`${title}: moved to ${day}.`);
    } catch (error) {
      target.value = target.defaultValue;
      showProblem(`“${title}” stays where it was. ${error.message}`);
    }
    refresh();
  });

  for (const button of document.querySelectorAll("[data-copy]")) button.addEventListener("click", async () => {
    const field = document.getElementById(button.dataset.copy);
    field.select();
    await navigator.clipboard.writeText(field.value);
    button.lastElementChild.textContent = "Copied";
  });
})();

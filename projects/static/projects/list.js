/* A list of the admin that moves by itself. Its page is asked for again when something happens, every two seconds at most,
   and each row that is there gets its new cells: what is selected stays selected, and what has the focus keeps it. */
(() => {
  "use strict";

  const PAUSE = 2000;
  const table = (root) => root.querySelector("#result_list");
  const rows = (root) => [...table(root).tBodies];
  const keyOf = (row) => {
    const box = row.querySelector("input.action-select");
    return box ? box.value : row.querySelector("a[href]").pathname;
  };
  let asking = false, again = false;

  const renew = (row, fresh) => {
    const cells = row.querySelectorAll("td, th");
    fresh.querySelectorAll("td, th").forEach((cell, place) => {
      const mine = cells[place];
      if (mine && !mine.querySelector("input.action-select") && !mine.contains(document.activeElement)) {
        mine.innerHTML = cell.innerHTML;
      }
    });
  };
  const merge = (fresh) => {
    const known = new Map(rows(document).map((row) => [keyOf(row), row]));
    const wanted = rows(fresh).map((row) => {
      const mine = known.get(keyOf(row));
      if (!mine) return document.adoptNode(row);
      renew(mine, row);
      mine.className = row.className; // every other one is shaded
      return mine;
    });
    for (const row of rows(document)) if (!wanted.includes(row)) row.remove();
    wanted.forEach((row, place) => {
      const there = table(document).tBodies[place];
      if (there !== row) table(document).insertBefore(row, there || null);
    });
    window.htmx.process(table(document));
    window.opsroom.localise(table(document));
  };
  const load = async () => {
    const answer = await fetch(location.href).catch(() => null);
    if (!answer || !answer.ok || answer.redirected) return;
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    if (table(fresh) && table(document)) merge(fresh);
    else if (!table(fresh) !== !table(document)) location.reload(); // the first row, or none any more
  };
  const refresh = async () => {
    again = asking;
    if (asking) return;
    asking = true;
    await load();
    setTimeout(() => {
      asking = false;
      if (again) refresh();
    }, PAUSE);
  };

  document.addEventListener("DOMContentLoaded", () => document.getElementById("list-live").addEventListener("live", refresh));
})();

/* What goes on shows for how long, second by second: <span data-since="2030-01-31T09:00:00Z">. */
(() => {
  "use strict";

  const words = (seconds) => {
    const hours = Math.floor(seconds / 3600), minutes = Math.floor(seconds / 60) % 60, rest = seconds % 60;
    if (hours) return minutes ? `${hours} h ${minutes} min` : `${hours} h`;
    if (minutes) return rest ? `${minutes} min ${rest} s` : `${minutes} min`;
    return `${rest} s`;
  };
  const show = () => document.querySelectorAll("[data-since]").forEach((element) => {
    const gone = Math.floor((Date.now() - new Date(element.dataset.since)) / 1000);
    element.textContent = words(Math.max(gone, 0));
  });
  setInterval(show, 1000);
})();

/* The house's dialogs: used by keyboard, and a session that has ended is noticed. A button opens one with
   hx-get, hx-target="#modal-content" and hx-select="#dialog". */
(() => {
  "use strict";

  let opener = null;

  // A dialog that opens takes the focus, and gives it back to its button when it closes.
  document.addEventListener("htmx:afterSettle", (event) => {
    if (event.target.id !== "modal-content") return;
    const way = event.target.querySelector("button[type=submit], .button-main");
    if (way) setTimeout(() => way.focus(), 60); // once the theme has made it visible
  });
  document.addEventListener("htmx:beforeRequest", (event) => {
    if (event.detail.target && event.detail.target.id === "modal-content") opener = document.activeElement;
  });
  document.addEventListener("keydown", (event) => {
    const modal = document.getElementById("modal-content");
    if (!modal || modal.offsetParent === null && getComputedStyle(modal).display === "none") return;
    if (event.key === "Escape" && opener) {
      const again = (opener.id && document.getElementById(opener.id)) || opener;
      setTimeout(() => again.focus && again.focus(), 60);
    }
    if (event.key !== "Tab" || !modal.contains(document.activeElement)) return;
    const stops = [...modal.querySelectorAll("a[href], button, input:not([type=hidden]), textarea, select")];
    const edge = event.shiftKey ? stops[0] : stops[stops.length - 1];
    if (document.activeElement === edge) {
      event.preventDefault();
      (event.shiftKey ? stops[stops.length - 1] : stops[0]).focus();
    }
  });

  // An answer from another address is the login page: go there, whole.
  document.addEventListener("htmx:beforeSwap", (event) => {
    const asked = new URL(event.detail.pathInfo.requestPath, location.href).pathname;
    const answered = event.detail.xhr.responseURL && new URL(event.detail.xhr.responseURL).pathname;
    if (answered && answered !== asked) {
      event.detail.shouldSwap = false;
      location.reload();
    }
  });
})();

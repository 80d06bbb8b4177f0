/* The house's dialogs: one that opens takes the focus, keeps it, and gives it back to its button when it closes; and a
   session that has ended is noticed, and takes nothing with it. A button opens one with hx-get,
   hx-target="#modal-content", hx-select="#dialog". */
(() => {
  "use strict";

  let opener = null;
  const modal = () => document.getElementById("modal-content");
  const stops = () => [...modal().querySelectorAll("a[href], button, input:not([type=hidden]), textarea, select")];

  document.addEventListener("htmx:beforeRequest", (event) => {
    if (event.detail.target && event.detail.target.id === "modal-content" && !modal().contains(event.detail.elt)) {
      opener = document.activeElement;
    }
  });
  document.addEventListener("htmx:afterSettle", (event) => {
    if (event.target.id !== "modal-content") return;
    const way = event.target.querySelector("[autofocus], button[type=submit], .button-main");
    if (way) setTimeout(() => way.focus(), 60); // once the theme has made it visible
  });
  document.addEventListener("keydown", (event) => {
    if (!modal() || getComputedStyle(modal().parentElement).display === "none") return;
    if (event.key === "Escape" && opener) {
      const again = (opener.id && document.getElementById(opener.id)) || opener;
      setTimeout(() => again.focus(), 60);
    }
    if (event.key !== "Tab" || !modal().contains(document.activeElement)) return;
    const all = stops();
    const edge = event.shiftKey ? all[0] : all[all.length - 1];
    if (document.activeElement !== edge) return;
    event.preventDefault();
    (event.shiftKey ? all[all.length - 1] : all[0]).focus();
  });

  // A session that has ended answers 401 to what a page asks for: a click leads to the login page.
  document.addEventListener("htmx:responseError", (event) => {
    const { triggeringEvent } = event.detail.requestConfig;
    if (event.detail.xhr.status === 401 && triggeringEvent && triggeringEvent.type === "click") location.reload();
  });

  // An answer from another address is the login page: go there, whole; but not away from what somebody has written, and
  // not for what nobody asked for: live.js says that one is signed out.
  document.addEventListener("htmx:beforeSwap", (event) => {
    const asked = new URL(event.detail.pathInfo.requestPath, location.href).pathname;
    const answered = event.detail.xhr.responseURL && new URL(event.detail.xhr.responseURL).pathname;
    if (answered && answered !== asked) {
      event.detail.shouldSwap = false;
      const { triggeringEvent } = event.detail.requestConfig;
      if (triggeringEvent && triggeringEvent.type === "live") return;
      const unsent = event.detail.elt.querySelector("[data-unsent]");
      if (!unsent) return location.reload();
      unsent.textContent = "You are signed out. Copy what you wrote, then reload the page to sign in again.";
      unsent.hidden = false;
    }
  });
})();

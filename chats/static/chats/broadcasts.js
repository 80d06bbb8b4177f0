/* Broadcasts: the action on selected rows shows the same dialog as the button, before it is sent. */
(() => {
  "use strict";

  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.id !== "changelist-form" || !form.elements.action || form.elements.action.value !== "send_banner_to_all") return;
    const button = document.querySelector("a[hx-get$='/send-banner/']");
    if (!button) return;
    event.preventDefault();
    const selected = form.querySelectorAll("input.action-select:checked").length;
    event.submitter.focus(); // where the dialog gives it back to
    htmx.ajax("GET", `${button.getAttribute("hx-get")}?selected=${selected}`, { source: button, target: "#modal-content", select: "#dialog" });
  }, true);
})();

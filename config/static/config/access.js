/* What the theme leaves out for the keyboard and for screen readers: icons are no words, what can be clicked can be
   reached and pressed, and every landmark has a name of its own. */
(() => {
  "use strict";

  const NAMES = {
    dock_to_right: "Show or hide the navigation", close: "Close", filter_list: "Filters", tune: "Filters", search: "Search",
    dark_mode: "Theme", light_mode: "Theme", computer: "Theme", more_vert: "More", more_horiz: "More", delete: "Remove",
    arrow_back: "Back", chevron_left: "Previous", chevron_right: "Next", add: "Add", edit: "Change", visibility: "View",
    apps: "All applications", history: "History", close_fullscreen: "Close",
  };
  const CLICKED = "span[x-on\\:click], div[x-on\\:click], h2[x-on\\:click], h3[x-on\\:click], a[x-on\\:click]:not([href])";
  const NATIVE = "a[href], button, input, select, textarea, summary, label";

  const words = (element) => {
    const copy = element.cloneNode(true);
    for (const icon of copy.querySelectorAll(".material-symbols-outlined")) icon.remove();
    return copy.textContent.trim() || element.getAttribute("aria-label") || element.title;
  };
  const iconOf = (element) => {
    const icons = [...element.querySelectorAll(".material-symbols-outlined")];
    const icon = element.matches(".material-symbols-outlined") ? element : icons.find((each) => each.offsetParent) || icons[0];
    return icon ? icon.textContent.trim() : "";
  };
  const name = (element) => {
    const isIcon = element.matches(".material-symbols-outlined");
    if (!element.getAttribute("aria-label") && (isIcon || !words(element))) {
      const icon = iconOf(element);
      if (icon) element.setAttribute("aria-label", element.title || NAMES[icon] || icon.replaceAll("_", " "));
    }
  };

  const improve = (root) => {
    const all = (selector) => [...(root.matches && root.matches(selector) ? [root] : []), ...root.querySelectorAll(selector)];
    for (const element of all(CLICKED)) {
      if (element.querySelector(NATIVE) || element.closest("a[href], button, label")) continue;
      if (!element.matches("h2, h3")) element.setAttribute("role", "button"); // a heading stays one
      if (!element.hasAttribute("tabindex")) element.tabIndex = 0;
      name(element);
    }
    all("a[href], button").forEach(name);
    for (const icon of all(".material-symbols-outlined")) {
      if (icon.getAttribute("role") !== "button") icon.setAttribute("aria-hidden", "true");
    }
    for (const box of all("[data-simplebar]")) {
      const label = box.id === "nav-sidebar-apps" ? "Menu" : box.closest("#changelist-filter") ? "Filters" : "Table";
      box.dataset.simplebarAriaLabel = label;
    }
    const modal = document.getElementById("modal-content");
    if (modal && modal.children.length && !modal.querySelector("[role=dialog]")) {
      for (const [key, value] of [["role", "dialog"], ["aria-modal", "true"], ["aria-label", "Question"]]) modal.firstElementChild.setAttribute(key, value);
    }
    for (const head of all("th")) {
      if (head.textContent.trim() || head.querySelector("input")) continue;
      head.insertAdjacentHTML("beforeend", '<span class="sr-only">Actions</span>');
    }
    for (const input of all("td input:not([type=hidden]), td select, td textarea")) {
      if (input.getAttribute("aria-label") || [...(input.labels || [])].some((label) => label.textContent.trim())) continue;
      const cell = input.closest("td");
      const head = cell.closest("table").querySelectorAll("thead th")[cell.cellIndex];
      const label = cell.dataset.label || (head && head.textContent.trim()) || input.name;
      input.setAttribute("aria-label", label);
    }
    for (const block of all("pre:not([tabindex])")) block.tabIndex = 0; // it may scroll sideways
    for (const tip of all(".help-tooltip")) tip.setAttribute("role", "img");
    all("#nav-sidebar-inner").forEach((nav) => nav.setAttribute("aria-label", "Opsroom"));
  };

  document.addEventListener("DOMContentLoaded", () => improve(document.documentElement));
  window.addEventListener("load", () => setTimeout(() => improve(document.documentElement))); // after Django's choosers
  document.addEventListener("htmx:load", (event) => improve(event.target));
  // What the theme adds later: rows of a form, menus.
  document.addEventListener("formset:added", (event) => improve(event.target));

  document.addEventListener("keydown", (event) => {
    const element = event.target;
    if (!["Enter", " "].includes(event.key) || !element.matches || !element.matches(CLICKED)) return;
    event.preventDefault();
    element.click();
  });
})();

/* Choosing files from the tree, and an environment: what is found, how many are chosen, what is to be expected. */
(() => {
  "use strict";

  document.addEventListener("DOMContentLoaded", () => {
    const tree = document.querySelector("[data-tree]"), search = document.querySelector("[data-tree-search]");
    const chosen = document.querySelector("[data-chosen]"), environment = document.getElementById("id_environment");
    const wasOpen = new WeakMap();

    const find = () => {
      const words = search.value.trim().toLowerCase();
      for (const branch of tree.querySelectorAll("details")) {
        let any = false;
        for (const leaf of branch.querySelectorAll("[data-leaf]")) {
          leaf.hidden = !leaf.dataset.leaf.toLowerCase().includes(words);
          leaf.style.display = leaf.hidden ? "none" : "";
          any ||= !leaf.hidden;
        }
        branch.style.display = any ? "" : "none";
        if (!wasOpen.has(branch)) wasOpen.set(branch, branch.open);
        branch.open = words ? any : wasOpen.get(branch);
        if (!words) wasOpen.delete(branch);
      }
    };
    const count = () => {
      const number = tree.querySelectorAll("input:checked").length;
      if (chosen) chosen.textContent = number ? `${number} file${number === 1 ? "" : "s"} chosen` : "";
    };
    const tell = () => {
      const option = environment && environment.selectedOptions[0];
      if (option) document.querySelector("[data-environment-words]").textContent = option.dataset.words || "";
    };

    if (search) search.addEventListener("input", find);
    if (search) search.addEventListener("keydown", (event) => { if (event.key === "Enter") event.preventDefault(); });
    tree.addEventListener("change", count);
    tree.addEventListener("uploaded", count);
    if (environment) environment.addEventListener("change", tell);
    count();
    tell();
  });
})();

/* Uploads in place: chosen or dropped, one request a file. A refusal is told in words; a file of the same name is replaced
   only after a question. What was uploaded is in the tree, chosen. */
(() => {
  "use strict";

  const start = (drop) => {
    const part = (name) => drop.querySelector(`[data-upload-${name}]`);
    const token = document.querySelector("[name=csrfmiddlewaretoken]").value;
    const tree = document.querySelector("[data-tree]");

    const say = (text, kind) => {
      const line = document.createElement("p");
      line.className = `is-${kind}`;
      line.textContent = text;
      part("said").append(line);
    };
    const ask = async (file, overwrite) => {
      const body = new FormData();
      body.append("file", file);
      body.append("directory", part("directory").value);
      if (overwrite) body.append("overwrite", "yes");
      const answer = await fetch(drop.dataset.upload, { method: "POST", body, headers: { "X-CSRFToken": token } });
      const told = await answer.json().catch(() => ({ detail: "The upload was refused. The file may be too large." }));
      if (!answer.ok && told.taken && !overwrite && window.confirm(`${told.detail}\n\nOverwrite it?`)) return ask(file, true);
      return { ok: answer.ok, ...told };
    };
    const plant = ({ leaf, directory, path }) => {
      tree.querySelectorAll("[data-leaf]").forEach((old) => { if (old.dataset.leaf === path) old.remove(); });
      const name = directory ? `Uploads / ${directory}` : "Uploads";
      let branch = [...tree.querySelectorAll("details")].find((each) => each.dataset.branch === name);
      if (!branch) {
        branch = document.createElement("details");
        branch.className = "testrunner-branch";
        branch.dataset.branch = name;
        const summary = document.createElement("summary");
        summary.textContent = name;
        branch.append(summary);
        tree.prepend(branch);
      }
      branch.open = true;
      branch.insertAdjacentHTML("beforeend", leaf);
      tree.dispatchEvent(new Event("uploaded"));
    };
    const send = async (files) => {
      const reload = drop.dataset.uploadReload !== undefined;
      let refused = 0;
      part("said").replaceChildren();
      for (const file of files) {
        const told = await ask(file, false).catch(() => ({ ok: false, detail: "The upload was cut off. Try again." }));
        say(`${file.name}: ${told.ok ? `uploaded as ${told.path}` : told.detail}`, told.ok ? "good" : "bad");
        if (told.ok && !reload) plant(told);
        refused += told.ok ? 0 : 1;
      }
      if (reload && files.length && !refused) location.reload();
    };

    part("file").addEventListener("change", (event) => { send([...event.target.files]); event.target.value = ""; });
    part("directory").addEventListener("keydown", (event) => { if (event.key === "Enter") event.preventDefault(); });
    for (const [type, over] of [["dragover", true], ["dragleave", false], ["drop", false]]) {
      drop.addEventListener(type, (event) => {
        event.preventDefault();
        drop.classList.toggle("is-over", over);
        if (type === "drop") send([...event.dataTransfer.files]);
      });
    }
  };

  document.addEventListener("DOMContentLoaded", () => document.querySelectorAll("[data-upload]").forEach(start));
})();

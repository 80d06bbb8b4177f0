/* The schema's editor: Tab indents, Enter keeps the indent, an example is checked while one types, and what is typed is
   not lost by leaving. */
(() => {
  "use strict";

  const form = document.getElementById("schema-form");
  const verdict = document.getElementById("verdict");
  const typed = document.getElementById("schema-typed");
  const STEP = "  ";
  let leaves = false; // after Esc, Tab goes on to the next field: nobody is caught here
  let waiting = null, asked = 0, going = false;
  const { published } = form.elements.schema.dataset; // which the field need not begin with: it may have been refused

  // --- Editing ---
  const put = (field, text) => {
    field.setRangeText(text, field.selectionStart, field.selectionEnd, "end");
    field.dispatchEvent(new Event("input", { bubbles: true }));
  };
  const indent = (field, out) => {
    const begin = field.value.lastIndexOf("\n", field.selectionStart - 1) + 1;
    const [start, end] = [field.selectionStart, field.selectionEnd];
    if (start === end && !out) return put(field, STEP);
    const lines = field.value.slice(begin, end).split("\n");
    const moved = lines.map((line) => (out ? line.replace(/^ {1,2}/, "") : STEP + line)).join("\n");
    field.setRangeText(moved, begin, end, start === end ? "end" : "select");
    field.dispatchEvent(new Event("input", { bubbles: true }));
  };
  form.addEventListener("keydown", (event) => {
    const field = event.target;
    if (!field.matches(".schema-text") || field.readOnly) return;
    if (event.key === "Escape") {
      leaves = true;
    } else if (event.key === "Tab" && !leaves && !event.ctrlKey && !event.altKey && !event.metaKey) {
      event.preventDefault();
      indent(field, event.shiftKey);
    } else if (event.key === "Enter" && !event.shiftKey && !event.ctrlKey) {
      event.preventDefault();
      const before = field.value.slice(field.value.lastIndexOf("\n", field.selectionStart - 1) + 1, field.selectionStart);
      put(field, `\n${before.match(/^ */)[0]}${/[{[]\s*$/.test(before) ? STEP : ""}`);
    }
    if (!["Escape", "Tab", "Shift"].includes(event.key)) leaves = false;
  });
  form.addEventListener("focusin", () => { leaves = false; });

  // --- The example, judged ---
  const check = async () => {
    if (!form.dataset.check) return;
    const mine = ++asked;
    const fields = { schema: form.elements.schema.value, example: form.elements.example.value };
    const token = form.elements.csrfmiddlewaretoken.value;
    const answer = await fetch(form.dataset.check, {
      method: "POST", body: new URLSearchParams(fields), headers: { "X-CSRFToken": token },
    }).catch(() => null);
    if (mine !== asked || !answer || !answer.ok || answer.redirected) return;
    verdict.innerHTML = await answer.text();
  };
  const isChanged = () => form.elements.schema.value !== published;
  form.addEventListener("input", (event) => {
    if (!event.target.matches(".schema-text")) return;
    clearTimeout(waiting);
    waiting = setTimeout(check, 300);
    if (typed) typed.hidden = !isChanged();
  });
  check();
  if (typed) typed.hidden = !isChanged();

  // --- A mistake is where the cursor is ---
  const error = form.querySelector("[data-error]");
  const place = error && error.textContent.match(/^Line (\d+), column (\d+)/);
  if (place) {
    const lines = form.elements.schema.value.split("\n").slice(0, Number(place[1]) - 1);
    const at = lines.reduce((sum, line) => sum + line.length + 1, 0) + Number(place[2]) - 1;
    form.elements.schema.focus();
    form.elements.schema.setSelectionRange(at, at + 1);
  }

  form.addEventListener("submit", () => { going = true; });
  window.addEventListener("beforeunload", (event) => { if (isChanged() && !going) event.preventDefault(); });
})();

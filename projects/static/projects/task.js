/* One task: Ctrl+Enter sends a comment. */
(() => {
  "use strict";
  const form = document.getElementById("comment-form");
  if (form) form.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
  });
})();

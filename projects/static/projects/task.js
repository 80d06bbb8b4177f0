/* One task: Ctrl+Enter sends a comment; what could not be sent is still there, and says so; a comment that is being put
   in other words, or is about to be, is left alone by what others say; and a task that moves takes its page along to the
   other project. */
(() => {
  "use strict";

  const comments = document.getElementById("comments");
  const head = document.getElementById("task-head");

  document.addEventListener("keydown", (event) => {
    const form = event.target.closest && event.target.closest("#comment-form, .comment-edit");
    if (!form) return;
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
    if (event.key === "Escape" && form.matches(".comment-edit")) form.querySelector("[data-cancel]").click();
  });

  const unsent = ({ detail }) => {
    const note = detail.elt.querySelector("[data-unsent]");
    if (!note) return;
    const why = { 403: "You may not do this.", 404: "It was deleted meanwhile." }[detail.xhr && detail.xhr.status];
    note.textContent = `${why || "The server does not answer."} What you wrote is still here.`;
    note.hidden = false;
  };
  for (const name of ["htmx:responseError", "htmx:sendError", "htmx:timeout"]) document.addEventListener(name, unsent);

  if (comments) comments.addEventListener("htmx:beforeSwap", ({ detail }) => {
    const isOurs = detail.requestConfig.elt === comments;
    if (isOurs && comments.querySelector(".comment-edit, .htmx-request")) detail.shouldSwap = false;
  });
  if (comments) comments.addEventListener("htmx:responseError", ({ detail }) => {
    if (detail.elt !== comments) htmx.trigger(comments, "live"); // what others said meanwhile was left out for this
  });
  if (head) head.addEventListener("htmx:afterSwap", () => {
    const { topic } = head.querySelector("[data-topic]").dataset;
    for (const part of document.querySelectorAll("#task-head, #comments, #task-history")) part.dataset.live = topic;
  });
})();

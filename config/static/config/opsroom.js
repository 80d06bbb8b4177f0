/* The house's small script: times in words, a question before what can't be undone, and a word when
   live fragments have stopped being live. */
(() => {
  "use strict";

  // Times stand in the zone of the person's account, which is not always the browser's.
  const inZone = (date, zone, options) => date.toLocaleString("en-GB", { ...options, timeZone: zone });
  const dayOf = (date, zone) => inZone(date, zone, { day: "numeric", month: "numeric", year: "numeric" });

  const options = (style, date, now, zone) => {
    const time = { hour: "2-digit", minute: "2-digit" };
    if (style === "time") return time;
    const day = { day: "numeric", month: "short" };
    if (inZone(date, zone, { year: "numeric" }) !== inZone(now, zone, { year: "numeric" })) day.year = "numeric";
    return { ...day, ...time };
  };

  const ago = (date, now) => {
    const seconds = Math.round((date - now) / 1000);
    const steps = [["second", 60], ["minute", 60], ["hour", 24], ["day", 7]];
    let amount = seconds;
    for (const [unit, size] of steps) {
      if (Math.abs(amount) < size) return new Intl.RelativeTimeFormat("en-GB", { numeric: "auto" }).format(amount, unit);
      amount = Math.round(amount / size);
    }
    return null;
  };

  const worded = (element) => {
    const { style, zone, which = "" } = element.dataset;
    const date = new Date(element.dateTime);
    const now = new Date();
    const relative = style === "ago" ? ago(date, now) : null;
    if (relative) return relative;
    if (style !== "time" && dayOf(date, zone) === dayOf(now, zone)) {
      return "Today, " + inZone(date, zone, options("time")) + which;
    }
    return inZone(date, zone, options(style, date, now, zone)) + which;
  };
  const show = (element) => {
    try {
      element.textContent = worded(element);
    } catch {
      // A zone that this browser does not know: the server's words stay.
    }
  };

  const localise = (root) => root.querySelectorAll("time.when").forEach(show);

  // A time in words grows old by itself.
  setInterval(() => document.querySelectorAll("time.when[data-style=ago]").forEach(show), 10000);

  document.addEventListener("DOMContentLoaded", () => localise(document));
  document.addEventListener("htmx:load", (event) => {
    if (event.target.matches && event.target.matches("time.when")) show(event.target);
    localise(event.target);
  });

  document.addEventListener("submit", (event) => {
    const asking = (event.submitter && event.submitter.dataset.confirm) || event.target.dataset.confirm;
    if (asking && !window.confirm(asking)) {
      event.preventDefault();
      event.stopImmediatePropagation();
    }
  }, true);

  // A form that is on its way is not sent a second time by a second click.
  document.addEventListener("submit", (event) => {
    if (event.defaultPrevented || !event.target.hasAttribute("data-once")) return;
    if (event.target.dataset.sent) event.preventDefault();
    event.target.dataset.sent = "yes";
  });
  window.addEventListener("pageshow", () => {
    document.querySelectorAll("form[data-once]").forEach((form) => delete form.dataset.sent);
  });

  // Scripts in attributes are forbidden (config/middleware.py), so what is chosen or missing is noticed here.
  document.addEventListener("change", (event) => {
    if (event.target.hasAttribute("data-submits")) event.target.form.requestSubmit();
  });
  document.addEventListener("error", (event) => {
    if (event.target.dataset && "mayMiss" in event.target.dataset) event.target.parentNode.classList.add("is-missing");
  }, true);

  // Live fragments carry data-live; while the server does not answer them, the page says so.
  const isLive = (event) => event.target.closest && event.target.closest("[data-live]");
  const away = (event) => { if (isLive(event)) document.documentElement.classList.add("is-away"); };
  document.addEventListener("htmx:sendError", away);
  document.addEventListener("htmx:responseError", away);
  document.addEventListener("htmx:timeout", away);
  document.addEventListener("htmx:afterRequest", (event) => {
    if (event.detail.successful) document.documentElement.classList.remove("is-away");
  });

  window.opsroom = { localise, inZone, dayOf };
})();

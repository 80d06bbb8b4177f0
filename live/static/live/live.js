/* Live pages: one socket a page. It comes back by itself, catches up, and updates what is marked.

   Opsroom.live.subscribe(["projects"], (message) => …, (topics) => …)
     The first function gets {seq, topic, type, data}; the second is called when too much was missed to say it all, when
     a message was too large ({"data": {"reload": true}}), and once at the start, for what happened while the page was loading. Without it, marked elements are refreshed.
     Returns a function that ends the subscription.
   <div data-live="projects,broadcast:7" hx-get="…" hx-trigger="live">
     gets the event "live" when something happens on its topics, four times a second at most, and every three seconds
     while the socket is away.
   <div data-live-refresh hx-get="…" hx-trigger="live">   gets it only when everything is to be loaded again.
   <p data-live-status hidden></p>   says so while the page is not live. */
(() => {
  "use strict";

  const THROTTLE_INTERVAL = 250, POLL_INTERVAL = 3000, PING_INTERVAL = 25000, ANSWER_TIMEOUT = 10000, STABLE_AFTER = 10000, MIN_BACKOFF = 1000, MAX_BACKOFF = 30000;
  const SIGNED_OUT = 4401;
  const subscriptions = new Set();
  const pending = new Set(); // topics of which the marked elements haven't been told yet
  const late = new WeakSet(); // elements that were told while an answer for them was on its way
  let socket = null, last = null, tries = 0, steady = null, patience = null, retry = null, flushing = null, away = null;
  let everything = false;

  const topicsOf = (element) => element.dataset.live.split(",").map((topic) => topic.trim()).filter(Boolean);
  const marked = () => [...document.querySelectorAll("[data-live]")].filter((element) => topicsOf(element).length);
  const wanted = () => new Set([...marked().flatMap(topicsOf), ...[...subscriptions].flatMap(({ topics }) => topics)]);
  const isOpen = () => socket !== null && socket.readyState === WebSocket.OPEN;
  const send = (message) => isOpen() && socket.send(JSON.stringify(message));

  // --- Telling the page ---
  const flush = () => {
    flushing = null;
    if (document.hidden) return; // told when somebody looks again
    const extra = everything ? document.querySelectorAll("[data-live-refresh]:not([data-live])") : [];
    const updated = marked().filter((element) => everything || topicsOf(element).some((topic) => pending.has(topic)));
    everything = false;
    pending.clear();
    for (const element of [...updated, ...extra]) {
      if (element.classList.contains("htmx-request")) late.add(element);
      element.dispatchEvent(new CustomEvent("live"));
    }
  };
  const refresh = (topics) => {
    for (const topic of topics) pending.add(topic);
    if (flushing === null) flushing = setTimeout(flush, THROTTLE_INTERVAL);
  };
  // An answer that replaces its element may be older than what the element was told meanwhile, and what htmx has queued
  // for it goes with it: so those in its place are told.
  const answered = ({ detail: { target } }) => {
    if (target && !target.isConnected && late.delete(target) && target.dataset.live) refresh(topicsOf(target));
  };
  const refreshAll = (topics) => {
    everything = true;
    refresh(topics);
  };
  const reload = (topics) => {
    for (const each of subscriptions) {
      const mine = each.topics.filter((topic) => topics.includes(topic));
      if (mine.length) each.reload(mine);
    }
    refresh(topics);
  };
  const poll = () => {
    status("Connection lost. The page is refreshed every few seconds.");
    refreshAll([]);
  };
  const status = (text) => {
    for (const element of document.querySelectorAll("[data-live-status]")) {
      element.textContent = text;
      element.hidden = !text;
    }
  };

  // --- The socket ---
  const known = new Set(); // topics that this socket watches, or has asked for
  const fresh = new Set(); // those of them of which nothing is known before their "subscribed"
  const current = new Set(); // topics of which this page has everything up to `last`, also while it has no socket
  const granted = new Set(); // topics that this page has watched
  const requestTopics = (topics, more) => {
    for (const topic of topics) known.add(topic);
    if (topics.length) send({ type: "subscribe", topics, ...more });
  };
  const subscribeWanted = () => {
    const topics = [...wanted()].filter((topic) => !known.has(topic));
    const isBehind = (topic) => last !== null && current.has(topic);
    const others = topics.filter((topic) => !isBehind(topic));
    for (const topic of others) fresh.add(topic);
    requestTopics(topics.filter(isBehind), { since: last });
    requestTopics(others, {});
  };
  const unsubscribe = () => {
    const topics = [...known].filter((topic) => !wanted().has(topic));
    for (const topic of topics) for (const set of [known, fresh, current]) set.delete(topic);
    if (topics.length) send({ type: "unsubscribe", topics });
  };
  const receive = ({ data }) => {
    clearTimeout(patience);
    const message = JSON.parse(data);
    if (message.data !== undefined) {
      if (message.seq <= last) return;
      last = message.seq;
      if (message.data.reload === true) return reload([message.topic]); // what happened was too large for a message
      for (const each of subscriptions) if (each.topics.includes(message.topic)) each.handler(message);
      refresh([message.topic]);
    } else if (message.type === "reload") {
      last = message.seq === undefined ? null : message.seq;
      refreshAll([]);
      reload(message.topics);
    } else if (message.type === "subscribed") {
      last = Math.max(last, message.seq);
      for (const topic of message.topics) for (const set of [granted, current]) set.add(topic);
      reload(message.topics.filter((topic) => fresh.delete(topic)));
    } else if (message.type === "error" && granted.has(message.topic)) {
      current.delete(message.topic);
      status("You may no longer view live changes here: this page is not updated any more.");
    }
  };
  const connect = () => {
    clearTimeout(retry);
    if (socket !== null || !wanted().size) return;
    const mine = socket = new WebSocket(`${location.origin.replace(/^http/, "ws")}/ws/notifications/`);
    mine.onopen = () => {
      clearInterval(away);
      away = null;
      status("");
      steady = setTimeout(() => { tries = 0; }, STABLE_AFTER);
      for (const topic of [...current]) if (!wanted().has(topic)) current.delete(topic);
      subscribeWanted();
    };
    mine.onmessage = receive;
    mine.onclose = ({ code }) => { if (socket === mine) onClosed(code); };
  };
  const forget = () => {
    socket = null;
    known.clear();
    fresh.clear();
    for (const timer of [steady, patience, retry]) clearTimeout(timer);
  };
  const onClosed = (code) => {
    forget();
    if (code === SIGNED_OUT) {
      status("You are signed out. Reload the page to sign in again.");
      return refreshAll([]);
    }
    if (away === null) away = setInterval(poll, POLL_INTERVAL);
    retry = setTimeout(connect, Math.random() * Math.min(MAX_BACKOFF, MIN_BACKOFF * 2 ** tries++)); // full jitter
  };
  const disconnect = () => {
    clearInterval(away);
    away = null;
    const mine = socket;
    forget();
    if (mine) mine.close();
  };

  setInterval(() => { // a line that has died in silence is noticed by the answer that doesn't come
    if (!isOpen()) return;
    send({ type: "ping" });
    clearTimeout(patience);
    patience = setTimeout(() => { const dead = socket; onClosed(0); dead.close(); }, ANSWER_TIMEOUT);
  }, PING_INTERVAL);
  const look = () => {
    if (!isOpen()) return connect();
    unsubscribe();
    subscribeWanted();
  };
  document.addEventListener("visibilitychange", () => { if (pending.size || everything) refresh([]); });
  document.addEventListener("htmx:afterRequest", answered);
  document.addEventListener("htmx:load", look); // new elements may have new topics
  document.addEventListener("DOMContentLoaded", look);
  window.addEventListener("online", () => { tries = 0; connect(); });
  window.addEventListener("pagehide", disconnect);
  window.addEventListener("pageshow", ({ persisted }) => { if (persisted) connect(); });

  window.Opsroom = window.Opsroom || {};
  window.Opsroom.live = {
    subscribe(topics, handler, reload = refreshAll) {
      const mine = { topics, handler, reload };
      subscriptions.add(mine);
      look();
      return () => {
        subscriptions.delete(mine);
        look();
      };
    },
  };
})();

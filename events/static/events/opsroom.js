/* Sends page views and events of a web page to Opsroom. See docs/clients.md.
 *
 *   <script src="https://opsroom.example.com/events/opsroom.js" data-key="…" async></script>
 *
 * An event has its id from the moment it happens. A batch goes into localStorage before it is sent and comes out when the
 * server has answered for it; what has to be sent again is a duplicate for the server and counts once. Each batch has an
 * entry of its own, so that tabs do not overwrite each other's, and its name says which application's it is, so that
 * another one on the same origin leaves it alone. A beacon's answer is never known: its batch is sent once more by the
 * next page. Requests are "simple" as CORS has it, text/plain with the key in the address, because that is
 * all that a beacon can do, and saves the others a preflight. Nothing here throws into the page.
 */
(() => {
  "use strict";

  const MOST_EVENTS = 100; // in a batch
  const MOST_BYTES = 60000; // of a batch: a browser takes 64 KiB from pages that are going away
  const MOST_BATCHES = 50; // kept while the server is away; what comes then is dropped
  const LINGER = 1000; // ms that an event waits for company
  const PATIENCE = 15000; // ms for an answer
  const FIRST_PAUSE = 1000, LONGEST_PAUSE = 60000; // ms between attempts
  const IDLE = 30 * 60 * 1000; // ms without an event that end a session
  const STALE = 7 * 24 * 60 * 60 * 1000; // ms after which a batch goes that nobody has come back for
  const BATCH = "opsroom.batch.", SESSION = "opsroom.session"; // names in localStorage; BATCH + whose.when.id

  const script = document.currentScript;
  const early = Array.isArray(window.opsroom) ? window.opsroom : []; // ["track", …] from before this file was here
  const batches = new Map(); // name → { target, body }, oldest first: what the server has not answered for
  const untried = new Set(); // names of those that were never sent
  let waiting = []; // events as JSON, not in a batch yet
  let target = "", whose = ""; // the ingest's address with the key, and a short name for the two
  let session = null;
  let seenPath = null;
  let lingering = null, retrying = null; // timers
  let busy = false, failures = 0, notBefore = 0;

  const safely = (act) => (...all) => {
    try { return act(...all); } catch (error) { console.warn("opsroom:", error); }
  };
  // localStorage may be full, switched off, or throw at a look.
  const stored = (act) => { try { return act(localStorage); } catch { return null; } };
  const bytes = (text) => new TextEncoder().encode(text).length;

  const uuid = () => crypto.randomUUID ? crypto.randomUUID() : // which plain http does not have
    "10000000-1000-4000-8000-100000000000".replace(/[018]/g, (digit) =>
      (digit ^ (crypto.getRandomValues(new Uint8Array(1))[0] & (15 >> (digit / 4)))).toString(16));

  // FNV-1a, twice: crypto.subtle is slow to answer, and not there on plain http.
  const hash = (text) => [0x811c9dc5, 0x1b873593].map((seed) =>
    (Array.from(text).reduce((sum, sign) => Math.imul(sum ^ sign.codePointAt(0), 0x01000193), seed) >>> 0).toString(36)).join("-");

  const sessionId = () => {
    const now = Date.now();
    session = stored((storage) => JSON.parse(storage.getItem(SESSION))) || session;
    if (!session || !session.id || !(now - session.seen < IDLE)) session = { id: uuid() };
    session.seen = now;
    stored((storage) => storage.setItem(SESSION, JSON.stringify(session)));
    return session.id;
  };

  const keep = (body) => {
    if (batches.size >= MOST_BATCHES) return;
    const name = `${BATCH}${whose}.${Date.now()}.${uuid()}`;
    batches.set(name, { target, body });
    untried.add(name);
    stored((storage) => storage.setItem(name, body));
  };

  const forget = (name) => {
    batches.delete(name);
    stored((storage) => storage.removeItem(name));
  };

  // What earlier pages, and pages in other tabs, have not got rid of. Those of a key that no page has any more go.
  const adopt = () => stored((storage) => Object.keys(storage).filter((name) => name.startsWith(BATCH)).sort()
    .forEach((name) => {
      const [owner, time] = name.slice(BATCH.length).split(".");
      if (owner === whose && !batches.has(name)) batches.set(name, { target, body: storage.getItem(name) });
      else if (owner !== whose && !(Date.now() - time < STALE)) storage.removeItem(name);
    }));

  const pack = () => {
    clearTimeout(lingering);
    lingering = null;
    if (!target) return; // whose they are is not known yet
    while (waiting.length) {
      let count = 1, size = bytes(waiting[0]) + 2;
      while (count < Math.min(waiting.length, MOST_EVENTS) && size + bytes(waiting[count]) < MOST_BYTES) {
        size += bytes(waiting[count]) + 1;
        count += 1;
      }
      keep(`[${waiting.splice(0, count).join(",")}]`);
    }
  };

  // The page's developer sees what was wrong; nobody else would tell.
  const complain = async (answer) => {
    const { rejected, results = [] } = await answer.json();
    if (rejected) console.warn("opsroom: rejected", results.filter((one) => one.status === "rejected"));
  };

  // What is too much for one request is sent as two; a single event that is too much never will be taken.
  const halve = (body) => {
    const events = JSON.parse(body), half = Math.ceil(events.length / 2);
    if (events.length > 1) [events.slice(0, half), events.slice(half)].forEach((part) => keep(JSON.stringify(part)));
  };

  const send = async ({ target, body }) => {
    const answer = await fetch(target, {
      method: "POST",
      body,
      credentials: "omit",
      keepalive: bytes(body) < MOST_BYTES, // goes on when the page has gone
      signal: AbortSignal.timeout ? AbortSignal.timeout(PATIENCE) : undefined,
    });
    if (answer.status === 202) complain(answer).catch(() => {});
    if (answer.status === 413) halve(body);
    if ([202, 400, 413].includes(answer.status)) return; // taken, or never will be
    notBefore = Date.now() + 1000 * (Number(answer.headers.get("Retry-After")) || 0);
    throw new Error(`answer ${answer.status}`);
  };

  const deliver = async () => {
    if (busy || !target || Date.now() < notBefore) return;
    busy = true;
    try {
      for (const [name, batch] of batches) { // also those that come meanwhile
        untried.delete(name);
        await send(batch);
        forget(name);
        failures = 0;
      }
    } catch {
      const pause = Math.random() * Math.min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** failures);
      failures += 1;
      notBefore = Math.max(notBefore, Date.now()) + pause;
      clearTimeout(retrying);
      retrying = setTimeout(deliver, notBefore - Date.now() + 1);
    } finally {
      busy = false;
    }
  };

  const flush = () => { pack(); deliver(); };

  const linger = () => { lingering = lingering || setTimeout(safely(flush), LINGER); };

  const resume = () => { notBefore = 0; adopt(); deliver(); };

  const leave = () => {
    pack();
    if (!target) return;
    untried.forEach((name) => {
      const { target, body } = batches.get(name);
      if (navigator.sendBeacon(target, body)) untried.delete(name);
    });
  };

  const track = (category, name, data = {}) => {
    if (waiting.length >= MOST_EVENTS * MOST_BATCHES) return; // nobody has called init
    waiting.push(JSON.stringify({
      event_id: uuid(), session_id: sessionId(), category, name, data, timestamp: new Date().toISOString(),
    }));
    if (waiting.length >= MOST_EVENTS) flush();
    else linger();
  };

  // No query and no fragment, in which there may be what is nobody's business.
  const view = () => {
    if (location.pathname === seenPath) return;
    const data = { host: location.host, path: location.pathname };
    if (seenPath === null && document.referrer) data.referrer = document.referrer.split(/[?#]/)[0];
    seenPath = location.pathname;
    track("page interaction", "pageview", data);
  };

  const watchViews = () => {
    const push = history.pushState;
    history.pushState = function (...all) {
      push.apply(this, all);
      safely(view)();
    };
    addEventListener("popstate", safely(view));
    addEventListener("pageshow", safely((event) => { if (event.persisted) { seenPath = null; view(); } }));
    view();
  };

  const init = ({ url, key, pageviews = true }) => {
    const first = !target;
    pack(); // what has happened so far is another's, if one was named before
    target = `${url.replace(/\/+$/, "")}/events/?write_key=${encodeURIComponent(key)}`;
    whose = hash(target);
    linger();
    if (!first) return;
    addEventListener("visibilitychange", safely(() => (document.visibilityState === "hidden" ? leave() : resume())));
    addEventListener("pagehide", safely(leave));
    addEventListener("online", safely(resume));
    if (pageviews) watchViews();
    resume();
  };

  const opsroom = { init: safely(init), track: safely(track), flush: safely(flush) };
  opsroom.push = safely(([verb, ...all]) => opsroom[verb](...all));
  window.opsroom = opsroom;
  if (script && script.dataset.key) {
    const { url = new URL(script.src).origin, key, pageviews } = script.dataset;
    opsroom.init({ url, key, pageviews: pageviews !== "off" });
  }
  early.forEach(opsroom.push);
})();

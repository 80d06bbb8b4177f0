/* Sends page views and events of a web page to Opsroom. See docs/clients.md.
 *
 *   <script src="https://opsroom.example.com/events/opsroom.js" data-key="…" async></script>
 *
 * An event gets its id when it happens. A batch of events is written to localStorage before it is sent and removed after
 * the server's answer; a batch that is sent again is a duplicate for the server and counts once. Each batch is an entry
 * of its own, so that tabs do not overwrite each other's; before a tab sends one, it claims it, so that two tabs do not
 * send the same. The name of an entry says which application it belongs to. The answer to a beacon is never known: its
 * batch is sent once more by the next page.
 *
 * Requests are "simple" in the sense of CORS, text/plain with the key in the address: beacons cannot do more, and others
 * save a preflight. The page may have replaced fetch, JSON or Promise and may have added to prototypes, so this script
 * writes its own JSON, takes the promises of async functions, and tries XMLHttpRequest where fetch has failed.
 * Nothing here throws into the page.
 */
(() => {
  "use strict";

  const MAX_EVENTS = 100; // in a batch
  const MAX_BYTES = 60000; // of a batch: a browser takes 64 KiB from pages that are closing
  const MAX_KEPT = 1024 * 1024; // bytes in localStorage for all tabs together, two a character; the oldest are dropped
  const LARGEST = 400000; // characters of an event; the server takes no more than 512 KiB
  const MAX_DEPTH = 100; // levels of an event's data
  const LINGER = 1000; // ms that an event waits for others
  const PATIENCE = 15000; // ms for an answer
  const CLAIM = 2 * PATIENCE; // ms after which another tab may send a batch
  const SETTLE = 1000; // ms until other tabs have heard of a change of localStorage
  const MIN_PAUSE = 1000, MAX_PAUSE = 60000; // ms between attempts
  const MAX_RETRY_AFTER = 10 * 60 * 1000; // ms that a server may ask for
  const IDLE = 30 * 60 * 1000; // ms without an event that end a session
  const STALE = 7 * 24 * 60 * 60 * 1000; // ms after which the batches of another application are removed
  // Names in localStorage. A batch is BATCH + owner.time.id.skew; the claim of a batch has the same end.
  const BATCH = "opsroom.batch.", CLAIMED = "opsroom.claim.", PAUSE = "opsroom.pause.";
  const SESSION = "opsroom.session", DROPPED = "opsroom.dropped", SKEW = "opsroom.skew";
  const BETWEEN = ",\n"; // the events of a batch; inside an event every line break is escaped

  const script = document.currentScript || document.querySelector("script[src*='/events/opsroom.js'][data-key]");
  const present = window.opsroom;
  const early = Array.isArray(present) ? present : []; // ["track", …] from before this file was loaded
  const NativePromise = (async () => {})().constructor;
  const batches = new Map(); // name → { target, body, kept }, oldest first: not answered yet
  const held = new Map(); // name → what ends the lock of a batch, which may keep the page out of the back/forward cache
  const untried = new Set(); // names of batches that were never sent
  let waiting = []; // events as JSON, not in a batch yet
  let waitingLength = 0; // characters
  let target = "", owner = ""; // the ingest's address with the key, and a short name for it
  let me = ""; // this page, in claims
  let session = null, skew = null, dropped = 0;
  let seenPath = null;
  let lingering = null, retrying = null; // timers
  let busy = false, again = false, failures = 0;
  let sending = ""; // the name of a batch
  let retryAt = 0; // of performance.now(), which no change of the clock moves
  let pausedUntil = 0; // of Date.now(): what the server asked for

  const safely = (act) => (...all) => {
    try { return act(...all); } catch (error) { warn(error); }
  };
  const warn = (words, ...all) => { try { console.warn(`opsroom: ${words}`, ...all); } catch { /* no console */ } };
  // localStorage may be full, switched off, or throw when it is touched.
  const stored = (act) => { try { return act(localStorage); } catch { return null; } };
  const bytes = (text) => new TextEncoder().encode(text).length;
  const within = (number, most) => Math.max(0, Math.min(number || 0, most));

  const uuid = () => crypto.randomUUID ? crypto.randomUUID() : // which plain http does not have
    "10000000-1000-4000-8000-100000000000".replace(/[018]/g, (digit) =>
      (digit ^ (crypto.getRandomValues(new Uint8Array(1))[0] & (15 >> (digit / 4)))).toString(16));

  // FNV-1a, twice: crypto.subtle is asynchronous, and missing on plain http.
  const hash = (text) => {
    let one = 0x811c9dc5, two = 0x1b873593;
    for (const sign of text) {
      one = Math.imul(one ^ sign.codePointAt(0), 0x01000193);
      two = Math.imul(two ^ sign.codePointAt(0), 0x01000193);
    }
    return `${(one >>> 0).toString(36)}-${(two >>> 0).toString(36)}`;
  };

  // --- JSON, whatever the page has done to JSON and to prototypes ---

  const escaped = (sign) =>
    sign === '"' || sign === "\\" ? `\\${sign}` : `\\u${`000${sign.charCodeAt(0).toString(16)}`.slice(-4)}`;
  const quoted = (text) => // half of a surrogate pair, as slice() leaves it, is shown as a replacement character
    `"${text.replace(/[\ud800-\udfff]/gu, "\ufffd").replace(/["\\\u0000-\u001f\u2028\u2029]/g, escaped)}"`;

  const plain = (value) => {
    if (value === null || typeof value !== "object") return value;
    if (value instanceof Date) return isNaN(value) ? null : value.toISOString();
    const own = value.toJSON;
    const added = own === Array.prototype.toJSON || own === Object.prototype.toJSON; // by an old library
    if (typeof own === "function" && !added) return own.call(value, "");
    const isBoxed = value instanceof String || value instanceof Number || value instanceof Boolean;
    return isBoxed ? value.valueOf() : value;
  };

  // The value as JSON; undefined for what JSON leaves out. Throws for circles and for a BigInt, as JSON does.
  const json = (given, level = 0) => {
    const value = plain(given);
    if (level > MAX_DEPTH) throw new TypeError("The data of an event is circular or nested too deeply.");
    if (typeof value === "string") return quoted(value);
    if (typeof value === "number") return isFinite(value) ? String(value) : "null";
    if (typeof value === "boolean" || value === null) return String(value);
    if (typeof value === "bigint") throw new TypeError("The data of an event holds a BigInt.");
    if (typeof value !== "object") return undefined;
    const parts = [];
    if (Array.isArray(value)) {
      for (let place = 0; place < value.length; place += 1) parts.push(json(value[place], level + 1) || "null");
      return `[${parts.join(",")}]`;
    }
    for (const name of Object.keys(value)) {
      const member = json(value[name], level + 1);
      if (member !== undefined) parts.push(`${quoted(name)}:${member}`);
    }
    return `{${parts.join(",")}}`;
  };

  const written = (value) => json(value) || "null";

  // --- What is kept ---

  const sessionId = () => {
    const now = Date.now();
    const text = stored((storage) => storage.getItem(SESSION)) || "";
    const found = /"id":"([\w-]+)","seen":(\d+)/.exec(text);
    if (found) session = { id: found[1], seen: Number(found[2]) };
    if (!session || !(now - session.seen < IDLE)) session = { id: uuid() };
    session.seen = now;
    stored((storage) => storage.setItem(SESSION, `{"id":"${session.id}","seen":${now}}`));
    return session.id;
  };

  // How many ms the server's clock is ahead of this one: 0 until a server says that it is more than minutes.
  const clockSkew = () => {
    if (skew === null) skew = Number(stored((storage) => storage.getItem(SKEW))) || 0;
    return skew;
  };

  const countDropped = (count, why) => {
    dropped += count;
    stored((storage) => storage.setItem(DROPPED, (Number(storage.getItem(DROPPED)) || 0) + count));
    warn(`${count} events were dropped: ${why}.`);
  };

  const partsOf = (name) => {
    const [whose, time, id, ahead] = name.slice(BATCH.length).split(".");
    return { whose, time: Number(time) || 0, id, skew: Number(ahead) || 0 };
  };
  const byTime = (one, other) => partsOf(one).time - partsOf(other).time;
  const storedNames = () => stored((storage) =>
    Object.keys(storage).filter((name) => name.startsWith(BATCH)).sort(byTime)) || [];
  const claimOf = (name) => CLAIMED + name.slice(BATCH.length);

  const forget = (name) => {
    batches.delete(name);
    untried.delete(name);
    stored((storage) => { storage.removeItem(name); storage.removeItem(claimOf(name)); });
  };

  const drop = (name, body) => {
    forget(name);
    countDropped(body.split(BETWEEN).length, "the server has not taken them, and there is no room for more");
  };

  // Drops the oldest batches of all tabs, and of this page, until so many characters fit.
  const makeRoom = (length) => {
    const most = MAX_KEPT / 2 - length;
    stored((storage) => {
      let sum = 0;
      const names = storedNames();
      for (const name of names) sum += name.length + storage.getItem(name).length;
      for (const name of names) {
        if (sum <= most) break;
        if (name === sending) continue;
        const body = storage.getItem(name);
        sum -= name.length + body.length;
        drop(name, body);
      }
    });
    let sum = 0; // of those that only this page knows
    batches.forEach(({ body, kept }) => { if (!kept) sum += body.length; });
    for (const [name, { body, kept }] of batches) {
      if (sum <= most) break;
      if (kept || name === sending) continue;
      sum -= body.length;
      drop(name, body);
    }
  };

  const keep = (events, ahead = clockSkew()) => {
    const body = `[${events.join(BETWEEN)}]`;
    const name = `${BATCH}${owner}.${Date.now()}.${uuid()}.${ahead}`;
    makeRoom(name.length + body.length);
    const kept = stored((storage) => { storage.setItem(name, body); return true; });
    batches.set(name, { target, body, kept });
    untried.add(name);
  };

  const pack = () => {
    clearTimeout(lingering);
    lingering = null;
    if (!target || document.prerendering) return;
    while (waiting.length) {
      let count = 1, size = bytes(waiting[0]) + 2;
      while (count < Math.min(waiting.length, MAX_EVENTS) && size + bytes(waiting[count]) < MAX_BYTES) {
        size += bytes(waiting[count]) + BETWEEN.length;
        count += 1;
      }
      keep(waiting.splice(0, count));
    }
    waitingLength = 0;
  };

  // --- Which batch is next ---

  const stillStored = (name) => stored((storage) => storage.getItem(name) !== null);

  // Takes over what earlier pages have left, and removes what another application's pages left long ago.
  const adopt = () => stored((storage) => {
    for (const name of storedNames()) {
      const { whose, time } = partsOf(name);
      if (whose !== owner && !(Date.now() - time < STALE)) forget(name);
      else if (whose === owner && !batches.has(name)) batches.set(name, { target, body: storage.getItem(name), kept: true });
    }
  });

  // Returns whether the lock of a batch is free, and holds it then. Throws where there are no locks.
  const lock = (name) => new NativePromise((resolve, reject) => {
    navigator.locks.request(`opsroom.${name}`, { ifAvailable: true }, (free) => {
      resolve(Boolean(free));
      return free && new NativePromise((release) => held.set(name, release));
    }).then(undefined, reject);
  });

  // Without locks, on plain http and in some frames, an entry says who sends it; two tabs may write it at once.
  const note = (name) => {
    const [by, until] = (stored((storage) => storage.getItem(claimOf(name))) || "").split(" "), left = until - Date.now();
    if (by && by !== me && left > 0 && left <= CLAIM) return false;
    stored((storage) => storage.setItem(claimOf(name), `${me} ${Date.now() + CLAIM}`));
    return true;
  };

  const claim = async (name) => {
    if (!batches.get(name).kept) return true; // only this page knows it
    try { return await lock(name); } catch { return note(name); }
  };

  const release = (name) => {
    stored((storage) => storage.removeItem(claimOf(name)));
    if (held.has(name)) held.get(name)();
    held.delete(name);
  };

  // Returns the name of the oldest batch that no other tab is sending; `taken` where others send some.
  const next = async () => {
    let taken = false;
    makeRoom(0); // what other tabs have written meanwhile counts as well
    adopt();
    for (const name of [...batches.keys()].sort(byTime)) {
      if (!batches.has(name)) continue;
      const isMine = !batches.get(name).kept || (await claim(name));
      const isGone = batches.has(name) && batches.get(name).kept && !stillStored(name); // another tab has sent it
      if (isGone) { release(name); batches.delete(name); untried.delete(name); }
      else if (isMine && batches.has(name)) return { name };
      else taken = true;
    }
    return { taken };
  };

  // --- Sending ---

  const viaFetch = async (address, body) => {
    const keepalive = bytes(body) < MAX_BYTES; // goes on when the page is closed
    const answer = await fetch(address, { method: "POST", body, credentials: "omit", keepalive });
    return { status: answer.status, retryAfter: answer.headers.get("Retry-After"), text: await answer.text() };
  };

  const viaRequest = (address, body) => new NativePromise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", address);
    request.onload = () => resolve({
      status: request.status, retryAfter: request.getResponseHeader("Retry-After"), text: request.responseText,
    });
    request.onerror = request.onabort = reject;
    request.send(body);
  });

  const post = (address, body) => new NativePromise((resolve, reject) => {
    const timer = setTimeout(reject, PATIENCE);
    const done = (settle) => (value) => { clearTimeout(timer); settle(value); };
    const send = failures % 2 ? viaRequest : viaFetch;
    (async () => send(address, body))().then(done(resolve), done(reject));
  });

  // The page's developer sees in the console what was wrong.
  const complain = (text) => {
    const { rejected, results = [] } = JSON.parse(text);
    if (rejected) warn("rejected", results.filter((one) => one.status === "rejected"));
  };

  const eventsOf = (body) => body.slice(1, -1).split(BETWEEN);

  // A batch that is too large for one request is sent as two; a single event that is too large is dropped.
  const halve = (body, ahead) => {
    const events = eventsOf(body), half = Math.ceil(events.length / 2);
    if (events.length === 1) return countDropped(1, "too large for the server");
    keep(events.slice(0, half), ahead);
    keep(events.slice(half), ahead);
  };

  // The clock here is wrong by more than the server allows: its events get the time that they had by the server's clock.
  const setClock = (body, by, ahead) => {
    const shifted = (all, time) => `"timestamp":"${new Date(Date.parse(time) + by).toISOString()}"}`;
    skew = ahead + by;
    stored((storage) => storage.setItem(SKEW, skew));
    keep(eventsOf(body).map((event) => event.replace(/"timestamp":"([^"]+)"\}$/, shifted)), skew);
  };

  const send = async (name) => {
    const { target, body } = batches.get(name), ahead = partsOf(name).skew, sentAt = Date.now() + ahead;
    const { status, retryAfter, text } = await post(`${target}&sent_at=${sentAt}`, body);
    if (status === 202) safely(complain)(text);
    else if (status === 413) halve(body, ahead);
    else if (status === 409) {
      setClock(body, Number(/"now":\s*(\d+)/.exec(text)[1]) - sentAt, ahead);
      forget(name);
      throw new Error(text); // with a pause, so that a server with a clock that jumps is not asked without end
    }
    else if (status === 400) safely(countDropped)(eventsOf(body).length, `the server answered ${text}`);
    else {
      pauseFor(1000 * within(Number(retryAfter), MAX_RETRY_AFTER / 1000));
      throw new Error(`answer ${status}`);
    }
    forget(name);
  };

  const pauseFor = (time) => {
    if (!time) return;
    pausedUntil = Date.now() + time;
    stored((storage) => storage.setItem(PAUSE + owner, pausedUntil)); // for other tabs and for the next page
  };

  // ms until the next attempt: what the server asked of any tab, and what this page does of itself.
  const pause = () => {
    const shared = Number(stored((storage) => storage.getItem(PAUSE + owner))) || 0;
    const asked = Math.max(shared, pausedUntil) - Date.now();
    return Math.max(asked > MAX_RETRY_AFTER ? 0 : asked, retryAt - performance.now(), 0);
  };

  const retryIn = (time) => {
    clearTimeout(retrying);
    retrying = setTimeout(safely(deliver), time + 1);
  };

  const deliver = async () => {
    if (busy) { again = true; return; }
    if (!target || document.prerendering) return;
    if (pause()) { retryIn(pause()); return; }
    busy = true;
    try {
      do {
        again = false;
        const { name, taken } = await next();
        if (taken) retryIn(CLAIM);
        if (!name) continue;
        untried.delete(name);
        sending = name;
        await send(name);
        // Other tabs hear a little later that the entry is gone.
        setTimeout(() => release(name), SETTLE);
        sending = "";
        failures = 0;
        again = true;
      } while (again);
    } catch {
      retryAt = performance.now() + Math.random() * Math.min(MAX_PAUSE, MIN_PAUSE * 2 ** failures);
      failures += 1;
      retryIn(pause());
    } finally {
      busy = false;
      if (sending) release(sending);
      sending = "";
    }
  };

  const flush = () => { pack(); deliver(); };

  const linger = () => { lingering = lingering || setTimeout(safely(flush), LINGER); };

  const resume = () => { retryAt = 0; deliver(); };

  const leave = () => {
    pack();
    if (!target || !navigator.sendBeacon || document.prerendering) return;
    untried.forEach((name) => {
      const { target, body } = batches.get(name); // a text, and so text/plain: another type would need a preflight
      if (navigator.sendBeacon(`${target}&sent_at=${Date.now() + partsOf(name).skew}`, body)) untried.delete(name);
    });
  };

  // --- What the page does ---

  // A page that is rendered before anybody sees it counts when it is shown, or not at all.
  const whenShown = (act) => {
    if (document.prerendering) document.addEventListener("prerenderingchange", safely(act), { once: true });
    else act();
  };

  const track = (category, name, data = {}) => {
    const content = `"category":${written(category)},"name":${written(name)},"data":${written(data)}`; // as it is now
    whenShown(() => {
      const head = `{"event_id":"${uuid()}","session_id":"${sessionId()}"`;
      const event = `${head},${content},"timestamp":"${new Date(Date.now() + clockSkew()).toISOString()}"}`;
      if (event.length > LARGEST) return countDropped(1, "too large for the server");
      if (waitingLength + event.length > MAX_KEPT / 2) return countDropped(1, "init() was not called");
      waiting.push(event);
      waitingLength += event.length;
      if (waiting.length >= MAX_EVENTS) flush();
      else linger();
    });
  };

  // Without query and fragment, which may hold private data.
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
      const result = push.apply(this, all);
      safely(view)();
      return result;
    };
    addEventListener("popstate", safely(view));
    addEventListener("turbo:load", safely(view)); // after a visit that replaced the entry in the history
    addEventListener("pageshow", safely((event) => { if (event.persisted) { seenPath = null; view(); } }));
    view();
  };

  const addressOf = ({ url, key }) => `${url.replace(/\/+$/, "")}/events/?write_key=${encodeURIComponent(key)}`;

  const init = ({ url, key, pageviews = true }) => {
    const first = !target;
    const next = addressOf({ url, key });
    pack(); // what has happened so far belongs to the key that was named before
    target = next;
    owner = hash(target);
    opsroom.addresses[target] = true;
    linger();
    if (!first) return;
    me = uuid();
    addEventListener("visibilitychange", safely(() => (document.visibilityState === "hidden" ? leave() : resume())));
    addEventListener("pagehide", safely(() => { leave(); held.forEach((_, name) => release(name)); }));
    addEventListener("online", safely(resume));
    whenShown(() => { if (pageviews) watchViews(); resume(); });
  };

  const opsroom = {
    init: safely(init),
    track: safely(track),
    flush: safely(flush),
    dropped: () => Number(stored((storage) => storage.getItem(DROPPED))) || dropped, // events, of this browser
    addresses: {}, // that this page sends to: another copy of this script on the same page leaves them alone
  };
  opsroom.push = safely(([verb, ...all]) => opsroom[verb](...all));

  const start = () => {
    const { key, pageviews } = (script && script.dataset) || {};
    const options = key && { url: script.dataset.url || new URL(script.src).origin, key, pageviews: pageviews !== "off" };
    if (present && present !== early && typeof present.track === "function") { // another copy, perhaps another version
      const served = present.addresses; // a copy of an older version says nothing, and keeps the page for itself
      if (!options || !served || served[addressOf(options)]) return;
      if (!Object.keys(served).length) { present.init(options); return; }
      served[addressOf(options)] = true; // another application: this copy serves it, and the first one the page's calls
    } else window.opsroom = opsroom;
    if (options) opsroom.init(options);
    const calls = early.splice(0);
    early.push = opsroom.push; // where the page has kept the array
    early.track = opsroom.track;
    calls.forEach((call) => opsroom.push(call));
  };
  safely(start)();
})();

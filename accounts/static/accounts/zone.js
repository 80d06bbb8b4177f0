/* The browser's time zone, in a cookie: the server makes it the zone of a person who has none yet. A page whose days and
   forms depend on it is loaded once more where the server had not known it. */
(() => {
  "use strict";
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone || "";
  const cookie = `opsroom_zone=${encodeURIComponent(zone)}`;
  const has = () => document.cookie.split("; ").includes(cookie);
  const isNew = Boolean(zone) && !has();
  if (isNew) document.cookie = `${cookie}; path=/; max-age=31536000; samesite=lax`;
  document.addEventListener("DOMContentLoaded", () => {
    if (isNew && has() && document.querySelector("[data-in-zone]")) location.reload();
    const words = document.querySelector("[data-browser-zone]");
    const chosen = document.getElementById("id_time_zone");
    if (!words || !chosen || !zone || chosen.value === zone) return;
    words.querySelector("strong").textContent = zone;
    words.hidden = false;
  });
})();

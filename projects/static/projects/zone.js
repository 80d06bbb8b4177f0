/* The viewer's zone, for pages whose days and forms need it: in a cookie, and once more from the server where it had not
   known it. */
(() => {
  "use strict";
  const zone = encodeURIComponent(Intl.DateTimeFormat().resolvedOptions().timeZone || "");
  const has = () => document.cookie.split("; ").includes(`opsroom_zone=${zone}`);
  if (!zone || has()) return;
  document.cookie = `opsroom_zone=${zone}; path=/; max-age=31536000; samesite=lax`;
  document.addEventListener("DOMContentLoaded", () => {
    if (has() && document.querySelector("[data-in-zone]")) location.reload();
  });
})();

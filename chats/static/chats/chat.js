/* One chat: days in the viewer's zone, the newest message in sight, and a picture chosen, dropped or pasted. */
(() => {
  "use strict";

  const list = document.getElementById("messages");
  const writer = document.getElementById("writer");

  const { dayOf, inZone } = window.opsroom;
  const nameOf = (date, zone) => {
    const before = (hours) => dayOf(new Date(Date.now() - hours * 3600000), zone);
    const [day, today] = [dayOf(date, zone), before(0)];
    if (day === today) return "Today";
    let hours = 1;
    while (before(hours) === today) hours += 1;
    if (day === before(hours)) return "Yesterday";
    return inZone(date, zone, { weekday: "long", day: "numeric", month: "long", year: "numeric" });
  };

  // A message may become visible after one with a higher id.
  const number = (message) => Number(message.id.replace("message-", ""));
  const inOrder = () => {
    const messages = [...list.querySelectorAll(".message")];
    if (messages.every((message, place) => !place || number(messages[place - 1]) < number(message))) return;
    const rest = list.querySelector("#newest");
    for (const message of messages.sort((one, other) => number(one) - number(other))) rest.before(message);
  };

  // Days begin at midnight in the zone of the person's account, as in the server's groups.
  const groupByDay = () => {
    try {
      group();
    } catch (error) {
      if (!(error instanceof RangeError)) throw error; // a zone that this browser does not know: the server's groups stay
    }
  };
  const group = () => {
    const first = list.querySelector(".message-foot time");
    if (first) dayOf(new Date(), first.dataset.zone);
    list.querySelectorAll(".messages-day").forEach((day) => day.remove());
    let last = "";
    list.querySelectorAll(".message").forEach((message) => {
      const time = message.querySelector(".message-foot time");
      const date = new Date(time.dateTime);
      const { zone } = time.dataset;
      if (dayOf(date, zone) === last) return;
      last = dayOf(date, zone);
      const day = document.createElement("li");
      day.className = "messages-day";
      day.appendChild(document.createElement("span")).textContent = nameOf(date, zone);
      message.before(day);
    });
  };

  const atTheEnd = () => window.innerHeight + window.scrollY > document.documentElement.scrollHeight - 160;
  const toTheEnd = () => window.scrollTo(0, document.documentElement.scrollHeight);
  let follow = true;

  inOrder();
  groupByDay();
  if (!location.hash || location.hash === "#newest") {
    toTheEnd();
    // Pictures arrive later and push the end away; whoever has scrolled meanwhile is left alone.
    list.addEventListener("load", () => { if (follow) toTheEnd(); }, true);
    ["wheel", "touchmove", "keydown"].forEach((kind) => {
      window.addEventListener(kind, () => { follow = false; }, { once: true, passive: true });
    });
  }
  document.addEventListener("htmx:beforeSwap", () => { follow = atTheEnd(); });
  document.addEventListener("htmx:afterSettle", (event) => {
    if (!list.contains(event.target) && event.target !== list) return;
    inOrder();
    groupByDay();
    const empty = document.getElementById("no-messages");
    if (empty && list.querySelector(".message")) empty.remove();
    if (follow && event.target.id === "newest") toTheEnd();
  });

  document.querySelectorAll("[data-copy]").forEach((button) => button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(button.dataset.copy);
    button.lastElementChild.textContent = "Copied";
    setTimeout(() => { button.lastElementChild.textContent = "Copy"; }, 1500);
  }));

  if (!writer) return;
  const chooser = writer.querySelector("input[type=file]");
  const text = writer.querySelector("textarea");
  const preview = writer.querySelector(".writer-preview");
  const image = preview.querySelector("img");

  chooser.hasChangeListener = true; // the theme would write the file's name into an input that isn't here

  const show = () => {
    const file = chooser.files[0];
    if (image.src) URL.revokeObjectURL(image.src);
    preview.hidden = !file;
    if (!file) return image.removeAttribute("src");
    image.src = URL.createObjectURL(file);
    preview.querySelector(".writer-name").textContent = `${file.name}, ${Math.ceil(file.size / 1024)} kB`;
  };
  const take = (files) => {
    const picture = [...files].find((file) => file.type.startsWith("image/"));
    if (!picture) return false;
    const transfer = new DataTransfer();
    transfer.items.add(picture);
    chooser.files = transfer.files;
    show();
    return true;
  };

  chooser.addEventListener("change", show);
  writer.querySelector(".writer-remove").addEventListener("click", () => { chooser.value = ""; show(); text.focus(); });
  // Cells of a spreadsheet are in the clipboard as text and as a picture of them: the text is what is meant.
  text.addEventListener("paste", (event) => {
    const { files, types } = event.clipboardData;
    if (!types.includes("text/plain") && take(files)) event.preventDefault();
  });
  text.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) writer.requestSubmit();
  });
  // Anywhere on the page: a picture that misses the form must not replace the page.
  document.addEventListener("dragover", (event) => { event.preventDefault(); writer.classList.add("is-over"); });
  document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) writer.classList.remove("is-over"); });
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    writer.classList.remove("is-over");
    take(event.dataTransfer.files);
  });
})();

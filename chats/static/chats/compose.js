/* Compose: the message as the user will see it, while it is written; a picture by choosing, dropping or pasting. */
(() => {
  "use strict";
  const form = document.getElementById("compose");
  if (!form) return;
  const partOf = (name) => form.querySelector(`[data-${name}]`);
  const field = (name) => form.elements[name];

  // --- What
  const text = field("text");
  const drop = partOf("drop");
  const thumb = partOf("thumb");
  const file = field("picture_file");
  const MAX_TEXT_LENGTH = 4000;

  const showBubble = () => {
    const picture = drop.hasAttribute("data-has") ? thumb.src : "";
    const words = text.value.trim();
    partOf("empty").hidden = Boolean(picture || words);
    partOf("bubble").hidden = !(picture || words);
    partOf("bubble-picture").hidden = !picture;
    if (picture) partOf("bubble-picture").src = picture;
    partOf("bubble-text").hidden = !words;
    partOf("bubble-text").textContent = words;
    const left = MAX_TEXT_LENGTH - [...text.value].length; // as the server counts: an emoji is one, and not two
    partOf("left").hidden = left > 500;
    partOf("left").textContent = left < 0 ? `${-left} characters too many` : `${left} characters left`;
  };
  text.addEventListener("input", showBubble);

  const choosePicture = (picture) => {
    const list = new DataTransfer();
    list.items.add(picture);
    file.files = list.files;
    showChosenPicture();
  };
  const showChosenPicture = () => {
    const chosen = file.files[0];
    if (!chosen) return;
    if (thumb.src.startsWith("blob:")) URL.revokeObjectURL(thumb.src);
    thumb.src = URL.createObjectURL(chosen);
    drop.setAttribute("data-has", "");
    partOf("drop-words").textContent = ` — ${chosen.name}`;
    showBubble();
  };
  file.addEventListener("change", showChosenPicture);
  // The theme expects its own markup around every file input, and throws where it is not there.
  form.querySelectorAll("input[type=file]").forEach((input) => { input.hasChangeListener = true; });
  partOf("remove").addEventListener("click", () => {
    file.value = "";
    field("picture_kept").value = "";
    drop.removeAttribute("data-has");
    partOf("drop-words").textContent = "";
    file.focus();
    showBubble();
  });
  const isPicture = (item) => item.type.startsWith("image/");
  for (const name of ["dragenter", "dragover"]) {
    form.addEventListener(name, (event) => {
      if (![...event.dataTransfer.items].some((item) => item.kind === "file")) return;
      event.preventDefault(); // else the browser would leave the page for the file
      drop.classList.toggle("is-over", [...event.dataTransfer.items].some(isPicture));
    });
  }
  form.addEventListener("dragleave", (event) => { if (!form.contains(event.relatedTarget)) drop.classList.remove("is-over"); });
  form.addEventListener("drop", (event) => {
    drop.classList.remove("is-over");
    const files = [...event.dataTransfer.files];
    if (!files.length) return;
    event.preventDefault();
    const picture = files.find(isPicture);
    if (picture) choosePicture(picture);
    else chooseList(event.dataTransfer.files);
  });
  // Cells of a spreadsheet are in the clipboard as text and as a picture of them: the text is what is meant.
  document.addEventListener("paste", (event) => {
    if (event.clipboardData && event.clipboardData.types.includes("text/plain")) return;
    const picture = [...(event.clipboardData ? event.clipboardData.files : [])].find(isPicture);
    if (!picture) return;
    event.preventDefault();
    choosePicture(picture);
  });

  // --- To whom
  const list = field("users_file");
  const chooseList = (files) => {
    if (!list) return;
    list.files = files;
    form.querySelector("input[name=audience][value=listed]").checked = true;
    list.dispatchEvent(new Event("change"));
  };
  if (list) {
    list.addEventListener("change", () => {
      if (list.files[0]) partOf("file-words").textContent = `${list.files[0].name}, ${Math.ceil(list.files[0].size / 1024).toLocaleString("en-GB")} kB`;
    });
    // Emptying the text area empties the list, also the one that was kept.
    field("users").addEventListener("input", () => { field("users_kept").value = ""; });
  }

  showBubble();
  const refused = form.querySelector(".compose__refused");
  if (refused) (form.querySelector("[aria-invalid]") || refused).focus({ preventScroll: false });
})();

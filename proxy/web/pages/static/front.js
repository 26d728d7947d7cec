// Corrects the lines to the address in the address bar, and copies them.  The page is complete without it.
"use strict";

// What leads here from the reader's desk is what its address bar shows: behind a proxy the server may not know it.
function showAddress() {
  const base = location.origin + location.pathname.replace(/\/[^/]*$/, "");
  const clear = location.protocol === "http:" && !/^(localhost|127(\.\d+){3}|\[::1\])$/.test(location.hostname);
  for (const part of document.querySelectorAll("[data-part=url]")) part.textContent = base;
  for (const part of document.querySelectorAll("[data-part=host]")) part.textContent = location.hostname;
  for (const part of document.querySelectorAll("[data-when=clear]")) part.hidden = !clear;
}

function select(element) {
  const range = document.createRange();
  range.selectNodeContents(element);
  const selection = getSelection();
  selection.removeAllRanges();
  selection.addRange(range);
}

// Over plain http browsers have no navigator.clipboard, and elsewhere it may be forbidden: then the lines are selected,
// for the old way of copying or for the reader's own Ctrl+C.
async function copy(element) {
  try {
    await navigator.clipboard.writeText(element.innerText);
    return true;
  } catch {
    select(element);
    return document.execCommand("copy");
  }
}

function tell(button, copied) {
  const words = document.body.dataset;
  const told = copied ? words.copied : words.selected;
  const before = button.dataset.word ?? (button.dataset.word = button.textContent);
  document.getElementById("told").textContent = told;
  button.textContent = told;
  button.classList.toggle("done", copied);
  clearTimeout(button.restoring);
  button.restoring = setTimeout(() => {
    document.getElementById("told").textContent = "";
    button.textContent = before;
    button.classList.remove("done");
  }, 2500);
}

showAddress();
for (const button of document.querySelectorAll("[data-copies]")) {
  button.hidden = false;
  button.addEventListener("click", async () => tell(button, await copy(document.getElementById(button.dataset.copies))));
}

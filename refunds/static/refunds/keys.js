"use strict";
// Keys of a page: each one clicks the element that names it in data-key. Never while somebody types, never with a
// modifier, never by holding a key down, never a second time before the answer has come.
(() => {
  const GLANCE = 250; // milliseconds: nobody decides on a page sooner, so a key that comes sooner was meant for the last
  let shown = performance.now();
  let acted = false;
  // A browser that has just moved on does not always focus it by itself, and then letters would be keys.
  document.querySelector("#content [autofocus], .desk [autofocus]")?.focus();
  document.querySelectorAll(".desk-hints").forEach((hints) => (hints.hidden = false));
  addEventListener("pageshow", () => ([shown, acted] = [performance.now(), false]));
  addEventListener("submit", () => (acted = true));
  document.addEventListener("keydown", (event) => {
    const { key, target } = event;
    if (event.defaultPrevented || event.repeat || event.isComposing) return;
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    if (target instanceof Element && target.closest("input, textarea, select, [contenteditable]")) return;
    const found = [...document.querySelectorAll("[data-key]")].find((it) => it.dataset.key === key);
    if (!found || acted || !found.offsetParent) return;
    event.preventDefault();
    if (found.tagName === "BUTTON" && performance.now() - shown < GLANCE) return;
    acted = found.tagName !== "SUMMARY";
    found.click();
  });
})();

"use strict";
// The address of a filtered list holds only what was typed or chosen, and begins at its first page.
document.getElementById("filter-form")?.addEventListener("submit", (event) => {
  for (const field of event.target.elements) {
    if (field.name && (field.value === "" || field.name === "p" || field.name === "e")) field.disabled = true;
  }
});
addEventListener("pageshow", () => {
  for (const field of document.getElementById("filter-form")?.elements ?? []) field.disabled = false;
});

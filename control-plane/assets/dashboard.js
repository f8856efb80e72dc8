// What the dashboard does better with JavaScript. Everything works without it, except copying at a press.
"use strict";

// Buttons that copy a field.
for (const button of document.querySelectorAll("[data-copy]")) {
  button.hidden = false;
  button.addEventListener("click", async () => {
    const field = document.getElementById(button.dataset.copy);
    try {
      await navigator.clipboard.writeText(field.value);
    } catch {
      field.select();
      return;
    }
    const label = button.textContent;
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = label; }, 2000);
  });
}

// What must be stored before one goes on: leaving asks once more.
const once = document.querySelector("[data-once]");
if (once) {
  const warn = (event) => event.preventDefault();
  window.addEventListener("beforeunload", warn);
  const stored = document.querySelector("[data-stored]");
  stored?.addEventListener("click", () => window.removeEventListener("beforeunload", warn));
}

// Filters that apply as soon as they are chosen.
for (const field of document.querySelectorAll("form.filter select")) {
  field.addEventListener("change", () => field.form.requestSubmit());
}

// Keys: / goes to the search field, n to what makes a new one.
document.addEventListener("keydown", (event) => {
  const writes = event.target.closest("input, select, textarea, [contenteditable]");
  if (writes || event.ctrlKey || event.metaKey || event.altKey) return;
  const wanted = { "/": "form.filter input[type=search]", n: "[data-new]" }[event.key];
  const found = wanted && document.querySelector(wanted);
  if (!found) return;
  event.preventDefault();
  if (event.key === "/") found.focus();
  else found.click();
});

// On small screens the menu begins closed.
const menu = document.querySelector("details.menu");
if (menu && window.matchMedia("(max-width: 56rem)").matches) menu.open = false;
menu?.classList.add("ready");

// What a page of docs needs beside its HTML: the theme, the search, colours in its code, and tables that fit.

import { byId, copyText, el } from "./dom.js";
import { highlighted } from "./highlight.js";
import { themeSwitch } from "/docs/theme.js";
import { words } from "./words.js";

const WIDE = matchMedia("(min-width: 1024px)");
const NARROW = 560; // px, below which no table is easy to read
const SHOWN = 12; // results
const AROUND = 60; // characters on each side of what was found

themeSwitch();
const index = document.querySelector("details.index");
const fold = () => (index.open = WIDE.matches);
WIDE.addEventListener("change", fold);
fold();
const here = index.querySelector("[aria-current]");
const beside = document.querySelector(".beside");
if (here) beside.scrollTop = here.offsetTop - beside.clientHeight / 2;

for (const code of document.querySelectorAll("pre code")) {
  const text = code.textContent;
  if (code.className) code.replaceChildren(...highlighted(text));
  const copy = el("button", { type: "button", className: "quiet copy" }, words().copy);
  copy.addEventListener("click", () => copyText(text, copy, code, words().copied));
  const box = el("div", { className: "copied" });
  code.parentElement.replaceWith(box);
  box.append(code.parentElement, copy);
}
for (const table of document.querySelectorAll(".wide table")) {
  const heads = [...table.tHead.rows[0].cells].map((cell) => cell.textContent);
  for (const { cells } of table.tBodies[0]?.rows ?? []) [...cells].forEach((cell, n) => (cell.dataset.head = heads[n]));
  // A long name may break behind what joins its parts, and nowhere else.
  for (const code of table.querySelectorAll("code")) code.replaceChildren(...code.textContent.split(/(?<=[_/.:,=&?|])/).flatMap((part) => [part, el("wbr")]));
}

/** A table breaks no name of its first column, or breaks it, or becomes a list of rows: the first of these that fits. */
function fit() {
  for (const box of document.querySelectorAll(".wide")) {
    const forms = box.clientWidth < NARROW ? ["stacked"] : ["whole", "", "stacked"];
    for (const form of forms) {
      box.className = `wide ${form}`;
      if (box.scrollWidth <= box.clientWidth) break;
    }
  }
}
addEventListener("resize", fit);
fit();
for (const box of document.querySelectorAll("pre")) if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;

// ---- the search, in the parts of all pages of this language ----

let reading; // once somebody searches: the list of [place, page, heading, text]

/** The parts that have all of `terms`, those first whose headings have them. */
function sought(parts, terms) {
  const has = (text) => terms.every((term) => text.toLowerCase().includes(term));
  const found = parts.filter((part) => has(part.slice(1).join(" ")));
  const worth = ([, page, heading]) => (has(heading) ? 0 : has(`${page} ${heading}`) ? 1 : 2);
  return found.sort((one, other) => worth(one) - worth(other)).slice(0, SHOWN);
}

function result([place, page, heading, text], [term]) {
  const at = Math.max(0, text.toLowerCase().indexOf(term));
  const [before, word, after] = [text.slice(Math.max(0, at - AROUND), at), text.slice(at, at + term.length), text.slice(at + term.length, at + term.length + AROUND)];
  const link = el("a", { href: `/pages/${place}` }, el("b", {}, heading || page), heading && el("small", {}, page), el("span", {}, before, el("mark", {}, word), after));
  return el("li", {}, link);
}

async function search() {
  reading ??= fetch(`/pages/${document.documentElement.lang === "en" ? "en" : "zh"}/search.json`).then((answer) => answer.json());
  const parts = await reading;
  // What stands in the field by now.
  const terms = byId("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  const list = terms.length ? sought(parts, terms).map((part) => result(part, terms)) : [];
  byId("found").hidden = !terms.length;
  index.hidden = Boolean(terms.length);
  byId("found").replaceChildren(...(list.length ? list : [el("li", {}, byId("found").dataset.none)]));
}

byId("search").addEventListener("input", search);
byId("search").form.addEventListener("submit", (event) => {
  event.preventDefault();
  byId("found").querySelector("a")?.click();
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.target.closest("input, textarea")) return;
  event.preventDefault();
  byId("search").focus();
});
document.documentElement.dataset.ready = "true";

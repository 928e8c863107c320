// What a page of docs needs beside its HTML: the theme, colours in its code, and keys for what scrolls sideways.

import { copyText, el } from "./dom.js";
import { highlighted } from "./highlight.js";
import { themeSwitch } from "./theme.js";
import { words } from "./words.js";

const WIDE = matchMedia("(min-width: 1024px)");

themeSwitch();
const index = document.querySelector("details.index");
const fold = () => (index.open = WIDE.matches);
WIDE.addEventListener("change", fold);
fold();
const here = index.querySelector("[aria-current]");
if (here) index.scrollTop = here.offsetTop - index.clientHeight / 2;
for (const code of document.querySelectorAll("pre code")) {
  const text = code.textContent;
  if (code.className) code.replaceChildren(...highlighted(text));
  const copy = el("button", { type: "button", className: "quiet copy" }, words().copy);
  copy.addEventListener("click", () => copyText(text, copy, code, words().copied));
  const box = el("div", { className: "copied" });
  code.parentElement.replaceWith(box);
  box.append(code.parentElement, copy);
}
for (const box of document.querySelectorAll(".wide, pre")) if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;

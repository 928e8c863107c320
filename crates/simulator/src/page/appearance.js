// The page's language and clock, and the texts that never change but by language.

import { byId } from "./dom.js";
import { keep, themeSwitch } from "/docs/theme.js";
import { words } from "./words.js";

/** Makes the switches work; `onLanguage` is called at once, and after each change of language. */
export function dress(onLanguage) {
  const speakAll = () => {
    speak();
    onLanguage();
  };
  byId("language").addEventListener("click", () => {
    const root = document.documentElement;
    root.lang = root.lang.startsWith("zh") ? "en" : "zh-CN";
    keep("language", root.lang);
    speakAll();
  });
  themeSwitch();
  setInterval(drawClock, 10_000);
  drawClock();
  speakAll();
}

function speak() {
  const text = words();
  document.title = text.title;
  for (const element of document.querySelectorAll("[data-words]")) element.textContent = text[element.dataset.words];
  const ending = document.documentElement.lang === "en" ? ".md" : ".zh-CN.md";
  for (const file of document.querySelectorAll("[data-page]")) file.textContent = `docs/${file.dataset.page}${ending}`;
  byId("language").textContent = text.language;
  byId("language").lang = text.otherLanguage;
  byId("theme").setAttribute("aria-label", text.themeLabel);
  byId("theme").title = text.themeLabel;
}

function drawClock() {
  byId("clock").textContent = new Date().toLocaleTimeString("en-GB", { hour: "numeric", minute: "2-digit" });
}

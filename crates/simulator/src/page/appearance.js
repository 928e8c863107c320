// The page's language, colours and clock, and the texts that never change but by language.

import { byId, copyText, el } from "./dom.js";
import { words } from "./words.js";

const systemDark = matchMedia("(prefers-color-scheme: dark)");

/** Makes the switches work; `onLanguage` is called after each change of language. */
export function dress(onLanguage) {
  byId("language").addEventListener("click", () => {
    switchLanguage();
    onLanguage();
  });
  byId("theme").addEventListener("click", switchTheme);
  systemDark.addEventListener("change", drawTheme);
  for (const [copy, source] of [["copy-client", "client"], ["copy-snippet", "snippet"]].map((ids) => ids.map(byId))) {
    copy.addEventListener("click", () => copyText(source.textContent, copy, source, words().copied));
  }
  setInterval(drawClock, 10_000);
  drawClock();
  drawTheme();
  drawSnippet();
  speak();
}

function keep(name, value) {
  try {
    localStorage.setItem(`wxmint.${name}`, value);
  } catch {
    // storage is switched off: the choice lasts as long as the page
  }
}

function switchLanguage() {
  const root = document.documentElement;
  root.lang = root.lang.startsWith("zh") ? "en" : "zh-CN";
  keep("language", root.lang);
  speak();
}

function speak() {
  const text = words();
  document.title = text.title;
  for (const element of document.querySelectorAll("[data-words]")) element.textContent = text[element.dataset.words];
  const { lang } = document.documentElement;
  for (const link of document.querySelectorAll("a[href^='/docs']")) link.setAttribute("href", `/docs/?lang=${lang}`);
  byId("language").textContent = text.language;
  byId("language").lang = text.otherLanguage;
  byId("theme").setAttribute("aria-label", text.themeLabel);
  byId("theme").title = text.themeLabel;
  drawPages();
}

/** Pages of docs, in the language of this page. */
function drawPages() {
  const { language, pages } = words();
  const ending = language === "English" ? ".zh-CN.md" : ".md";
  const link = ([name, why]) => el("li", {}, el("a", { href: `/demo/pages/${name}${ending}` }, why), " ", el("code", {}, `docs/${name}${ending}`));
  byId("pages").replaceChildren(...Object.entries(pages).map(link));
}

/** The mini program's login as examples/mini-program has it, with its comments set back. */
async function drawSnippet() {
  const file = await (await fetch("/demo/mini-program/utils/login.js")).text();
  const pieces = file.split(/((?:^|(?<= ))\/\/ .*$)/m);
  const spans = pieces.map((piece, n) => (n % 2 ? el("span", { className: "comment" }, piece) : piece));
  byId("snippet").replaceChildren(...spans);
}

function isDark() {
  const { theme } = document.documentElement.dataset;
  return theme ? theme === "dark" : systemDark.matches;
}

function drawTheme() {
  byId("theme").setAttribute("aria-pressed", String(isDark()));
}

function switchTheme() {
  document.documentElement.dataset.theme = isDark() ? "light" : "dark";
  keep("theme", document.documentElement.dataset.theme);
  drawTheme();
}

function drawClock() {
  byId("clock").textContent = new Date().toLocaleTimeString("en-GB", { hour: "numeric", minute: "2-digit" });
}

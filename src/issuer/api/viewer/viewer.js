// Starts Swagger UI, and says in Chinese what it can say only in English.

import { zh } from "./words-zh.js";

const root = document.documentElement;
const viewer = document.getElementById("viewer");
const theme = document.getElementById("theme");
const systemDark = matchMedia("(prefers-color-scheme: dark)");

function draw(dark) {
  root.classList.toggle("dark-mode", dark);
  theme.setAttribute("aria-pressed", String(dark));
}

theme.addEventListener("click", () => {
  const dark = !root.classList.contains("dark-mode");
  root.dataset.theme = dark ? "dark" : "light";
  draw(dark);
  try {
    localStorage.setItem("wxmint.theme", root.dataset.theme);
  } catch {
    // storage is switched off: the choice lasts as long as the page
  }
});
systemDark.addEventListener("change", () => root.dataset.theme || draw(systemDark.matches));
draw(root.classList.contains("dark-mode"));

/** Replaces Swagger UI's own words below a node; the words of the API are Chinese already. */
function translate(node) {
  const texts = document.createTreeWalker(node, NodeFilter.SHOW_TEXT);
  for (let text = node.nodeType === Node.TEXT_NODE ? node : texts.nextNode(); text; text = texts.nextNode()) {
    const words = zh[text.data.trim()];
    if (words && !text.parentElement?.closest("pre, textarea")) text.data = words;
  }
}

if (root.lang.startsWith("zh")) {
  const watcher = new MutationObserver((changes) => {
    for (const { target, addedNodes } of changes) [target, ...addedNodes].forEach(translate);
  });
  watcher.observe(viewer, { childList: true, characterData: true, subtree: true });
}

SwaggerUIBundle({
  domNode: viewer,
  url: root.dataset.openapi,
  deepLinking: true,
  validatorUrl: null,
  presets: [SwaggerUIBundle.presets.apis],
  layout: "BaseLayout",
  syntaxHighlight: { activated: false },
});

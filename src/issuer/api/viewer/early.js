// Runs before the first paint, so that nobody sees the page in the wrong colours first. The demo's page keeps the same
// choices: its link here names the language, and it follows one that is chosen here.
(() => {
  const root = document.documentElement;
  const asked = new URLSearchParams(location.search).get("lang");
  const known = [asked ?? "", ...navigator.languages].find((tag) => /^(en|zh)\b/i.test(tag)) ?? "en";
  root.lang = /^zh/i.test(known) ? "zh-CN" : "en";
  let theme = null;
  try {
    theme = localStorage.getItem("wxmint.theme");
    if (asked) localStorage.setItem("wxmint.language", root.lang);
  } catch {
    // storage is switched off: the page follows the browser's settings
  }
  if (theme === "light" || theme === "dark") root.dataset.theme = theme;
  const dark = theme ? theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.classList.toggle("dark-mode", dark);
})();

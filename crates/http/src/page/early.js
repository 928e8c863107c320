// Runs before the first paint of every page that wxmint serves, so that nobody sees it in the wrong colours or the wrong
// language first. A page may have one language; a choice on one page holds for the others of the same origin.
(() => {
  const root = document.documentElement;
  let language, theme;
  try {
    [language, theme] = ["language", "theme"].map((name) => localStorage.getItem(`wxmint.${name}`));
  } catch {
    // storage is switched off: the page follows the browser's settings
  }
  const known = [root.dataset.lang, language, ...navigator.languages].find((tag) => /^(en|zh)\b/i.test(tag)) ?? "en";
  root.lang = /^zh/i.test(known) ? "zh-CN" : "en";
  if (theme === "light" || theme === "dark") root.dataset.theme = theme;
  const dark = theme ? theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.classList.toggle("dark-mode", dark);
})();

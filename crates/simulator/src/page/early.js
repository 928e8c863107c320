// Runs before the first paint, so that nobody sees the page in the wrong colours or the wrong language first.
(() => {
  const kept = (name) => {
    try {
      return localStorage.getItem(`wxmint.${name}`);
    } catch {
      return null; // storage is switched off: the page follows the browser's settings
    }
  };
  const root = document.documentElement;
  const theme = kept("theme");
  if (theme === "light" || theme === "dark") root.dataset.theme = theme;
  const chinese = (kept("language") ?? navigator.language ?? "en").toLowerCase().startsWith("zh");
  root.lang = chinese ? "zh-CN" : "en";
})();

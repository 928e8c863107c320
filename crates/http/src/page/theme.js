// The switch between light and dark, which every page has, and what the pages of this origin remember.

const root = document.documentElement;
const systemDark = matchMedia("(prefers-color-scheme: dark)");

/** Remembers a choice for all pages of this origin; early.js obeys it before the first paint. */
export function keep(name, value) {
  try {
    localStorage.setItem(`wxmint.${name}`, value);
  } catch {
    // storage is switched off: the choice lasts as long as the page
  }
}

export function kept(name) {
  try {
    return localStorage.getItem(`wxmint.${name}`);
  } catch {
    return null;
  }
}

/** Makes the button with the id `theme` work. Swagger UI knows the theme by a class. */
export function themeSwitch() {
  const button = document.getElementById("theme");
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : systemDark.matches);
  const draw = () => {
    button.setAttribute("aria-pressed", String(isDark()));
    root.classList.toggle("dark-mode", isDark());
  };
  button.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    keep("theme", root.dataset.theme);
    draw();
  });
  systemDark.addEventListener("change", draw);
  draw();
}

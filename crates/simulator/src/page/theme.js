// The switch between light and dark, which every page has.

import { byId } from "./dom.js";

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

export function themeSwitch() {
  const root = document.documentElement;
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : systemDark.matches);
  const draw = () => {
    byId("theme").setAttribute("aria-pressed", String(isDark()));
  };
  byId("theme").addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    keep("theme", root.dataset.theme);
    draw();
  });
  systemDark.addEventListener("change", draw);
  draw();
}

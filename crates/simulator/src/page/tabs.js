// Tabs as ARIA has them: arrows, Home and End move between them, and one alone is reached by Tab. The choice is in the URL's
// hash, so that a link can name it: #keys, or #code/Go for tabs within a tab.

import { el } from "./dom.js";

/** `names` are the tabs; `panelOf(name)` is the panel's id; `shown(name)` is called after each choice. */
export class Tabs {
  constructor(box, { names, panelOf, hash = "", start, shown = () => {} }) {
    Object.assign(this, { box, names, panelOf, hash, shown });
    this.open = this.named() ?? (names.includes(start) ? start : names[0]);
    addEventListener("hashchange", () => {
      const name = this.named();
      if (name && name !== this.open) this.show(name);
    });
  }

  /** The tab that the hash names, if it is one of these. */
  named() {
    const [, ...parts] = `/${location.hash.slice(1)}`.split(this.hash ? `/${this.hash}/` : "/");
    return this.names.find((name) => name === parts[0]);
  }

  /** Names the tabs, in the language of the page. */
  label(heading, labelOf = (name) => name) {
    this.tabs = this.names.map((name) => {
      const tab = el("button", { type: "button", id: `tab-${name}`, role: "tab", "aria-controls": this.panelOf(name), "data-testid": `tab-${name}` }, labelOf(name));
      tab.addEventListener("click", () => this.choose(name));
      return tab;
    });
    const list = el("div", { role: "tablist", "aria-label": heading }, this.tabs);
    list.addEventListener("keydown", (event) => this.onKey(event));
    this.box.replaceChildren(list);
    this.show(this.open);
  }

  onKey(event) {
    const { names } = this;
    const at = names.indexOf(this.open);
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1 + names.length, Home: 0, End: names.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    this.choose(names[to % names.length]);
    this.tabs[to % names.length].focus();
  }

  /** A choice of the reader's, which the address keeps. It makes no entry of the history, and the page does not move. */
  choose(name) {
    history.replaceState(null, "", `#${this.hash && `${this.hash}/`}${name}`);
    this.show(name);
  }

  show(name) {
    this.open = name;
    this.names.forEach((other, n) => {
      const isOpen = other === name;
      this.tabs[n].setAttribute("aria-selected", String(isOpen));
      this.tabs[n].tabIndex = isOpen ? 0 : -1;
      const panel = document.getElementById(this.panelOf(other));
      panel.setAttribute("role", "tabpanel");
      if (isOpen || this.panelOf(name) !== this.panelOf(other)) panel.hidden = !isOpen;
      if (isOpen) panel.setAttribute("aria-labelledby", `tab-${name}`);
    });
    this.shown(name);
  }
}

// Tabs as ARIA has them: arrows, Home and End move between them, and one alone is reached by Tab. The choice is in the URL's
// hash, so that a link can name it: #token.

import { byId, el } from "./dom.js";

/** `names` are the tabs; the panel of one has the id `panel-NAME`. */
export class Tabs {
  constructor(box, names) {
    Object.assign(this, { box, names });
    this.open = this.named() ?? names[0];
    addEventListener("hashchange", () => {
      const name = this.named();
      if (name && name !== this.open) this.show(name);
    });
  }

  /** The tab that the hash names, if it is one of these. */
  named() {
    return this.names.find((name) => `#${name}` === location.hash);
  }

  /** Names the tabs, in the language of the page. */
  label(heading, labels) {
    this.tabs = this.names.map((name) => {
      const tab = el("button", { type: "button", id: `tab-${name}`, role: "tab", "aria-controls": `panel-${name}`, "data-testid": `tab-${name}` }, labels[name]);
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
    history.replaceState(null, "", `#${name}`);
    this.show(name);
  }

  show(name) {
    this.open = name;
    this.names.forEach((other, n) => {
      const isOpen = other === name;
      this.tabs[n].setAttribute("aria-selected", String(isOpen));
      this.tabs[n].tabIndex = isOpen ? 0 : -1;
      byId(`panel-${other}`).hidden = !isOpen;
    });
  }
}

// How services verify, in tabs: the files of examples/peers, whole.

import { byId, copyText, el } from "./dom.js";
import { words } from "./words.js";

/** Each file, and the line at which the reader begins. */
export const PEERS = {
  Java: { file: "java-spring/src/main/java/com/example/orders/SecurityConfig.java", at: "JwtDecoder decoder(" },
  Go: { file: "go/token.go", at: "func (v *verifier) verify(" },
  Node: { file: "node/app.mjs", at: "async function currentUser(" },
  Python: { file: "python/app.py", at: "def verified(token):" },
  Rust: { file: "rust/actix.rs", at: "async fn orders(" },
};

export class PeerTabs {
  constructor() {
    this.box = byId("peers");
    this.open = "Java";
    this.texts = {};
  }

  draw() {
    if (this.lang === document.documentElement.lang) return;
    this.lang = document.documentElement.lang;
    this.tabs = Object.keys(PEERS).map((name) => this.tab(name));
    const list = el("div", { className: "tabs", role: "tablist", "aria-label": words().peersHeading }, this.tabs);
    list.addEventListener("keydown", (event) => this.onKey(event));
    this.folder = el("code", { "data-testid": "peer-file" });
    const copy = el("button", { type: "button", className: "quiet", "data-testid": "copy-peer" }, words().copy);
    copy.addEventListener("click", () => copyText(this.code.textContent, copy, this.code, words().copied));
    this.code = el("pre", {
      className: "code",
      id: "peer-code",
      role: "tabpanel",
      tabIndex: 0,
      "data-testid": "peer-code",
    });
    this.box.replaceChildren(el("div", { className: "heading-row" }, list, this.folder, copy), this.code);
    this.show(this.open);
  }

  tab(name) {
    const tab = el(
      "button",
      {
        type: "button",
        className: "chip",
        id: `peer-tab-${name}`,
        role: "tab",
        "aria-controls": "peer-code",
        "data-testid": `peer-tab-${name}`,
      },
      name,
    );
    tab.addEventListener("click", () => this.show(name));
    return tab;
  }

  onKey(event) {
    const names = Object.keys(PEERS);
    const at = names.indexOf(this.open);
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1 + names.length, Home: 0, End: names.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    this.show(names[to % names.length]);
    this.tabs[to % names.length].focus();
  }

  async show(name) {
    this.open = name;
    for (const tab of this.tabs) {
      const isOpen = tab.textContent === name;
      tab.setAttribute("aria-selected", String(isOpen));
      tab.tabIndex = isOpen ? 0 : -1;
    }
    const { file, at } = PEERS[name];
    this.folder.textContent = `examples/peers/${file}`;
    this.code.setAttribute("aria-labelledby", `peer-tab-${name}`);
    this.texts[name] ??= await (await fetch(`/demo/peers/${file}`)).text();
    if (this.open === name) this.fill(this.texts[name], at);
  }

  /** Shows the whole file, from the lines that verify. */
  fill(text, at) {
    const begin = el("span", { "data-testid": "peer-begin" }, at);
    const [before, ...after] = text.split(at);
    this.code.replaceChildren(before, begin, after.join(at));
    this.code.scrollTop = begin.offsetTop - 20; // .code is what offsets are counted from
  }
}

// Code to copy, filled in with the reader's AppID and host. Nothing is sent, and no secret is asked for.

import { button, byId, copyText, el, onChange } from "./dom.js";
import { highlighted } from "./highlight.js";
import { Tabs } from "./tabs.js";
import { keep, kept } from "/docs/theme.js";
import { words } from "./words.js";

/** Forms of what is typed, and what stands for it in the files. */
const FIELDS = {
  appid: { form: /^wx[0-9a-f]{16}$/, example: "wx0123456789abcdef", stands: /wx0123456789abcdef|(?<=clientId\("?)wx…/g },
  host: { form: /^[a-z0-9-]+(\.[a-z0-9-]+)+$/i, example: "login.example.com", stands: /http:\/\/127\.0\.0\.1:8080|https:\/\/login\.example\.com/g },
};

/** By tab: files below examples, and the lines that the reader came for in the first of them; or a text. */
const CODE = {
  Java: { files: ["peers/java-spring/src/main/java/com/example/orders/SecurityConfig.java", "peers/java-spring/src/main/resources/application.yml"], at: "JwtDecoder decoder(" },
  Go: { files: ["peers/go/token.go", "peers/go/main.go"], at: "func (v *verifier) verify(" },
  Node: { files: ["peers/node/app.mjs"], at: "async function currentUser(" },
  Python: { files: ["peers/python/app.py"], at: "def verified(token):" },
  Rust: { files: ["peers/rust/actix.rs"], at: "async fn orders(" },
  "mini-program": { text: client },
  "login.js": { files: ["mini-program/utils/login.js"] },
  settings: { text: settings },
};

function client() {
  return `// npm install wxmint-miniprogram
const { createClient } = require('wxmint-miniprogram')
const client = createClient({ url: 'https://login.example.com' })

Page({
  onShow() {
    client.request({ url: 'https://api.example.com/orders' })
      .then(({ data }) => this.setData(data))
  }
})
`;
}

// One list of commands, because `init` would read a line that follows it for the secret.
function settings() {
  return `# ${words().code.asks}
wxmint init \\
  --appid wx0123456789abcdef \\
  --issuer https://login.example.com \\
  --redis-url redis://127.0.0.1:6379 &&
wxmint serve
`;
}

export class CodePanel {
  constructor() {
    this.typed = { appid: "", host: "" };
    this.boxes = []; // of the files that are shown: { text, pre, at }
    this.tabs = new Tabs(byId("code-tabs"), {
      names: Object.keys(CODE),
      panelOf: () => "code-panel",
      hash: "code",
      start: kept("code"),
      shown: (name) => this.show(name),
    });
    this.build = onChange(() => 0, () => {
      byId("code-fields").replaceChildren(...Object.keys(FIELDS).map((name) => this.field(name)));
      this.tabs.label(words().tabs.code, (name) => words().code.tabs[name] ?? name);
    });
  }

  draw() {
    this.build();
  }

  field(name) {
    const text = words().code;
    const { form, example } = FIELDS[name];
    const wrong = el("small", { id: `yours-${name}-wrong`, role: "status", "data-testid": `yours-${name}-wrong` });
    const names = { autocomplete: "off", autocapitalize: "none", spellcheck: false, "aria-describedby": wrong.id, "data-testid": `yours-${name}` };
    const input = el("input", { type: "text", value: this.typed[name], placeholder: example, ...names });
    input.addEventListener("input", () => {
      this.typed[name] = input.value.trim();
      this.fill();
    });
    input.addEventListener("change", () => {
      const isWrong = Boolean(this.typed[name]) && !form.test(this.typed[name]);
      input.setAttribute("aria-invalid", String(isWrong));
      wrong.textContent = isWrong ? text.wrong[name] : "";
    });
    return el("label", { className: "field" }, el("span", {}, text[name]), input, wrong);
  }

  async show(name) {
    const { files = [], text, at } = CODE[name];
    keep("code", name);
    byId("code-says").textContent = words().code.says[name] ?? words().code.says.service;
    const read = async (path) => ({ path: `examples/${path}`, text: await (await fetch(`/pages/examples/${path}`)).text() });
    const shown = text ? [{ path: "", text: text() }] : await Promise.all(files.map(read));
    if (this.tabs.open !== name) return; // the reader has gone on meanwhile
    this.boxes = shown.map(({ path, text }, n) => this.box(path, text, n === 0 && at));
    byId("code-files").replaceChildren(...this.boxes.map(({ root }) => root));
    this.fill();
  }

  /** A file with a button that copies it, and nothing else. */
  box(path, text, at) {
    const pre = el("pre", { className: "code", tabIndex: 0, "data-testid": "code" });
    const copy = button("quiet", "copy-code", () => copyText(pre.textContent, copy, pre, words().copied), words().copy);
    const head = el("div", { className: "heading-row" }, el("code", { className: "small", "data-testid": "code-file" }, path), copy);
    return { root: el("div", { className: "file" }, head, pre), text, pre, at };
  }

  /** Takes from what was typed only what has the right form, because the text is for a shell. */
  fill() {
    const { host, appid } = Object.fromEntries(Object.entries(FIELDS).map(([name, { form }]) => [name, form.test(this.typed[name]) && this.typed[name]]));
    for (const box of this.boxes) {
      let { text } = box;
      if (host) text = text.replace(FIELDS.host.stands, `https://${host}`);
      if (appid) text = text.replace(FIELDS.appid.stands, appid);
      const [at] = [host && `https://${host}`, appid, box.at].map((sought) => (sought ? text.indexOf(sought) : -1)).filter((found) => found >= 0);
      const line = text.lastIndexOf("\n", at ?? 0) + 1;
      box.begin = el("span", { "data-testid": "code-begin" });
      box.pre.replaceChildren(...highlighted(text.slice(0, line)), box.begin, ...highlighted(text.slice(line)));
    }
    this.toBegin();
  }

  /** Shows each file from the lines that the reader came for: what was filled in, or else what verifies. */
  toBegin() {
    for (const { pre, begin } of this.boxes) pre.scrollTop = begin.offsetTop - 40; // .code is what offsets are counted from
  }
}

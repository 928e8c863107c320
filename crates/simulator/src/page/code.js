// Code to copy, filled in with the reader's AppID and host. Nothing is sent, and no secret is asked for.

import { byId, copyText, el } from "./dom.js";
import { highlighted } from "./highlight.js";
import { Tabs } from "./tabs.js";
import { keep, kept } from "./theme.js";
import { words } from "./words.js";

/** Forms of what is typed, and what stands for it in the files. */
const FIELDS = {
  appid: { form: /^wx[0-9a-f]{16}$/, example: "wx0123456789abcdef", stands: /wx0123456789abcdef|(?<=clientId\("?)wx…/g },
  host: { form: /^[a-z0-9-]+(\.[a-z0-9-]+)+$/i, example: "login.example.com", stands: /http:\/\/127\.0\.0\.1:8080|https:\/\/login\.example\.com/g },
};

/** By tab: a file below examples, the file with its settings, and where the reader begins; or a text. */
const CODE = {
  Java: { file: "peers/java-spring/src/main/java/com/example/orders/SecurityConfig.java", more: "peers/java-spring/src/main/resources/application.yml", at: "JwtDecoder decoder(" },
  Go: { file: "peers/go/token.go", more: "peers/go/main.go", at: "func (v *verifier) verify(" },
  Node: { file: "peers/node/app.mjs", at: "async function currentUser(" },
  Python: { file: "peers/python/app.py", at: "def verified(token):" },
  Rust: { file: "peers/rust/actix.rs", at: "async fn orders(" },
  "mini-program": { text: client },
  "login.js": { file: "mini-program/utils/login.js" },
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
    this.texts = {};
    this.tabs = new Tabs(byId("code-tabs"), {
      names: Object.keys(CODE),
      panelOf: () => "code-panel",
      hash: "code",
      start: kept("code"),
      shown: (name) => this.show(name),
    });
    byId("copy-code").addEventListener("click", () => copyText(byId("code-text").textContent, byId("copy-code"), byId("code-text"), words().copied));
  }

  draw() {
    if (this.lang === document.documentElement.lang) return;
    this.lang = document.documentElement.lang;
    byId("code-fields").replaceChildren(...Object.keys(FIELDS).map((name) => this.field(name)));
    this.tabs.label(words().tabs.code, (name) => words().code.tabs[name] ?? name);
  }

  field(name) {
    const text = words().code;
    const { form, example } = FIELDS[name];
    const wrong = el("small", { id: `yours-${name}-wrong`, role: "status", "data-testid": `yours-${name}-wrong` });
    const input = el("input", { type: "text", value: this.typed[name], placeholder: example, autocomplete: "off", spellcheck: false, "data-testid": `yours-${name}` });
    input.setAttribute("autocapitalize", "none");
    input.setAttribute("aria-describedby", wrong.id);
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
    const { file, more, text } = CODE[name];
    keep("code", name);
    byId("code-file").textContent = file ? [file, more].filter(Boolean).map((path) => `examples/${path}`).join(", ") : "";
    byId("code-says").textContent = words().code.says[name] ?? words().code.says.service;
    const read = async (path) => (await fetch(`/demo/examples/${path}`)).text();
    this.texts[name] = text ? text() : (this.texts[name] ?? [await read(file), ...(more ? [await read(more)] : [])].join("\n"));
    if (this.tabs.open === name) this.fill();
  }

  /** Takes from what was typed only what has the right form, because the text is for a shell. */
  fill() {
    const { open } = this.tabs;
    const { host, appid } = Object.fromEntries(Object.entries(FIELDS).map(([name, { form }]) => [name, form.test(this.typed[name]) && this.typed[name]]));
    let text = this.texts[open] ?? "";
    if (host) text = text.replace(FIELDS.host.stands, `https://${host}`);
    if (appid) text = text.replace(FIELDS.appid.stands, appid);
    const [at] = [host && `https://${host}`, appid, CODE[open].at].map((sought) => (sought ? text.indexOf(sought) : -1)).filter((found) => found >= 0);
    this.begin = el("span", { "data-testid": "code-begin" });
    const line = text.lastIndexOf("\n", at ?? 0) + 1;
    byId("code-text").replaceChildren(...highlighted(text.slice(0, line)), this.begin, ...highlighted(text.slice(line)));
    this.toBegin();
  }

  /** Shows the file from the lines that the reader came for: what was filled in, or else what verifies. */
  toBegin() {
    byId("code-text").scrollTop = (this.begin?.offsetTop ?? 0) - 40; // .code is what offsets are counted from
  }
}

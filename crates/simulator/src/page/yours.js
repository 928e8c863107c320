// "Now with your AppID": the six variables of the README, filled in. Nothing is sent, and no secret is asked for.

import { byId, chip, copyText, el } from "./dom.js";
import { words } from "./words.js";

const EXAMPLE = { appid: "wx0123456789abcdef", host: "login.example.com" };
const FORMS = { appid: /^wx[0-9a-f]{16}$/, host: /^[a-z0-9-]+(\.[a-z0-9-]+)+$/i };

const envOf = ({ appid, host }) => `WXMINT_ISSUER=https://${host}
WXMINT_APPID=${appid}
WXMINT_APP_SECRET_FILE=app.secret
WXMINT_REDIS_URL=redis://127.0.0.1:6379
WXMINT_KEYS=keys.json
WXMINT_VAULT_KEY_FILE=vault.key
`;

const commands = () => `wxmint keys generate --keys keys.json
(umask 077; openssl rand -base64 32 > vault.key)
(umask 077; cat > app.secret)  # ${words().yours.paste}
set -a; . ./.env; set +a
wxmint serve
`;

export class Yours {
  constructor() {
    this.box = byId("yours");
    this.typed = { appid: "", host: "" };
  }

  draw() {
    if (this.lang === document.documentElement.lang) return;
    this.lang = document.documentElement.lang;
    const text = words().yours;
    this.env = el("pre", { className: "code", tabIndex: 0, "aria-label": ".env", "data-testid": "env" });
    const run = el("pre", { className: "code", tabIndex: 0, "aria-label": text.run, "data-testid": "run" }, commands());
    const fields = Object.keys(FORMS).map((name) => this.field(name));
    this.box.replaceChildren(
      el("div", { className: "yours-fields" }, fields),
      el("div", { className: "yours-texts" }, block(text.env, "copy-env", this.env), block(text.run, "copy-run", run)),
    );
    this.drawEnv();
  }

  field(name) {
    const text = words().yours;
    const wrong = el("small", { id: `yours-${name}-wrong`, role: "status", "data-testid": `yours-${name}-wrong` });
    const input = el("input", {
      type: "text",
      value: this.typed[name],
      placeholder: EXAMPLE[name],
      autocomplete: "off",
      spellcheck: false,
      "data-testid": `yours-${name}`,
    });
    input.setAttribute("autocapitalize", "none");
    input.setAttribute("aria-describedby", wrong.id);
    input.addEventListener("input", () => {
      this.typed[name] = input.value.trim();
      this.drawEnv();
    });
    input.addEventListener("change", () => {
      const isWrong = Boolean(this.typed[name]) && !FORMS[name].test(this.typed[name]);
      input.setAttribute("aria-invalid", String(isWrong));
      wrong.textContent = isWrong ? text.wrong[name] : "";
    });
    return el("label", { className: "field" }, el("span", {}, text[name]), input, wrong);
  }

  /** Takes from what was typed only what has the right form, because the text is for a shell. */
  drawEnv() {
    const value = (name) => (FORMS[name].test(this.typed[name]) ? this.typed[name] : EXAMPLE[name]);
    this.env.textContent = envOf({ appid: value("appid"), host: value("host") });
  }
}

function block(title, testid, pre) {
  const copy = chip(testid, words().copy, () => copyText(pre.textContent, copy, pre, words().copied));
  return el("div", {}, el("div", { className: "heading-row" }, el("h3", {}, title), copy), pre);
}

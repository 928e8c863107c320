// The issuer's keys: which are published, which one signs, and a rotation that takes seconds.

import { call } from "./asking.js";
import { asCurl, rotating } from "./curl.js";
import { button, byId, el, onChange, pause } from "./dom.js";
import { APPS, AWAY } from "./people.js";
import { decodeBase64url, parseObject } from "./verify.js";
import { words } from "./words.js";

const LOOK = 1000; // ms between two looks at the keys while one waits to sign
const SHOWN = 4; // keys, the latest
const JWKS = "/.well-known/jwks.json";

/** The panel. `say(text)` tells people who listen. */
export class KeysPanel {
  constructor(say) {
    this.say = say;
    this.keys = []; // as /demo/keys has them
    this.published = 0; // how many the JWKS has
    this.tokens = []; // one for each of the latest two keys that signed: { kid, token, status }
    this.busy = false;
    this.build = onChange(() => 0, () => this.makeFrame());
    this.list = onChange(() => [this.keys, this.tokens, Math.floor(Date.now() / LOOK)], () => this.drawRows());
    this.look();
  }

  /** Reads the keys, and asks the service about the tokens that they signed. Looks again while a key waits, whoever has rotated. */
  async look() {
    const [{ answer }, jwks] = [await call("GET", "/demo/keys"), await call("GET", JWKS)];
    this.keys = answer?.body?.keys ?? this.keys;
    this.lead = answer?.body?.lead ?? this.lead;
    this.published = jwks.answer?.body?.keys.length ?? 0;
    for (const kept of this.tokens) kept.status = (await call("GET", "/demo/orders", undefined, kept.token)).answer?.status;
    this.draw();
    clearTimeout(this.next);
    if (this.waiting()) this.next = setTimeout(() => this.look(), LOOK);
  }

  async rotate() {
    if (this.busy) return;
    this.busy = true;
    await this.takeToken();
    await call("PUT", "/demo/keys/next");
    await this.look();
    this.say(words().keys.publishedNow(this.lead));
    while (this.waiting()) await pause(LOOK / 4);
    await this.takeToken();
    this.busy = false;
    await this.look();
    this.say(words().keys.signsNow);
  }

  waiting() {
    return this.keys.find((key) => key.state === "published");
  }

  /**
   * Logs somebody in whom the phone never shows, so that the key that signs now has signed a token. Two mini programs
   * take turns, because a login revokes the user's earlier token of the same one.
   */
  async takeToken() {
    const signing = this.keys.find((key) => key.state === "signing")?.kid;
    if (this.tokens.some(({ kid }) => kid === signing)) return;
    const appid = Object.values(APPS)[this.keys.findIndex(({ kid }) => kid === signing) % 2];
    const minted = await call("POST", "/_simulator/codes", { person: AWAY, appid });
    const { answer } = await call("POST", "/login", { appid, code: minted.answer?.body?.codes?.[0] });
    const token = answer?.body?.access_token;
    if (token) this.tokens = [...this.tokens.slice(-1), { kid: kidOf(token), token }];
  }

  draw() {
    this.build();
    this.list();
    this.button.setAttribute("aria-disabled", String(this.busy));
    this.count.textContent = words().keys.count(this.published);
  }

  makeFrame() {
    this.button = button("solid", "rotate-keys", () => this.rotate(), words().keys.rotate);
    this.count = el("a", { href: JWKS, className: "small", "data-testid": "keys-count" });
    this.rows = el("ol", { className: "key-rows", "data-testid": "keys" });
    byId("keys-box").replaceChildren(el("div", { className: "buttons" }, this.button, this.count), this.rows, asCurl("keys", rotating));
  }

  drawRows() {
    this.rows.replaceChildren(...this.keys.slice(-SHOWN).map((key) => this.row(key)));
  }

  /** A key, its state, what comes next for it, and whether services accept its token. */
  row(key) {
    const text = words().keys;
    const kept = this.tokens.find(({ kid }) => kid === key.kid);
    const names = { className: kept?.status === 200 ? "link" : "link banned", "data-testid": "key-token", "data-status": kept?.status };
    const wait = Math.max(0, Math.ceil(key.nbf - Date.now() / 1000));
    return el(
      "li",
      { className: "key-row", "data-state": key.state, "data-kid": key.kid },
      el("b", {}, text.states[key.state]),
      el("code", { title: key.kid }, `${key.kid.slice(0, 8)}…`),
      el("span", { className: "small" }, text.until(key.state, wait, timeOf(key.exp))),
      kept && el("span", names, text.token(kept.status)),
    );
  }
}

function timeOf(seconds) {
  const form = { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit" };
  return seconds && new Date(seconds * 1000).toLocaleString(document.documentElement.lang, form);
}

const kidOf = (token) => parseObject(decodeBase64url(token.split(".")[0])).kid;

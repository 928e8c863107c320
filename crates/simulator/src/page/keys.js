// The issuer's keys: which are published, which one signs, and a rotation that takes seconds.

import { call } from "./asking.js";
import { asCurl, rotating } from "./curl.js";
import { byId, el } from "./dom.js";
import { APPS, AWAY } from "./people.js";
import { decodeBase64url, parseObject } from "./verify.js";
import { words } from "./words.js";

const TICK = 100; // ms between two drawings of the timeline
const LOOK = 1000; // ms between two looks at the keys while one waits to sign
const HALF = 30; // s to either side of the moment in the middle of the timeline
const SHOWN = 4; // keys, the latest
const JWKS = "/.well-known/jwks.json";

/** The panel. `say(text)` tells people who listen. */
export class KeysPanel {
  constructor(say) {
    this.say = say;
    this.box = byId("keys-box");
    this.keys = []; // as /demo/keys has them
    this.published = []; // the kids of the JWKS
    this.tokens = []; // one for each of the latest two keys that signed: { kid, token, status }
    this.busy = false;
    setInterval(() => this.drawTimes(), TICK);
    this.look();
  }

  /**
   * Reads the keys, and asks the service about the tokens that they signed. Looks again while a key waits, whoever has
   * rotated.
   */
  async look() {
    const [{ answer }, jwks] = [await call("GET", "/demo/keys"), await call("GET", JWKS)];
    this.keys = answer?.body?.keys ?? this.keys;
    this.lead = answer?.body?.lead ?? this.lead;
    this.published = jwks.answer?.body?.keys.map((key) => key.kid) ?? [];
    for (const kept of this.tokens)
      kept.status = (await call("GET", "/demo/orders", undefined, kept.token)).answer?.status;
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
    while (this.waiting()) await new Promise((resolve) => setTimeout(resolve, TICK));
    await this.takeToken();
    await this.look();
    this.busy = false;
    this.draw();
    this.say(words().keys.signsNow);
  }

  waiting() {
    return this.keys.find((key) => key.state === "published");
  }

  /**
   * Logs somebody in whom the phone never shows, so that the key that signs now has signed a token. Two mini programs
   * take turns, because a login ends the user's earlier token of the same one.
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
    const { lang } = document.documentElement;
    const shown = JSON.stringify([lang, this.keys, this.published, this.tokens, this.busy]);
    if (shown === this.shown) return;
    this.shown = shown;
    if (this.lang !== lang) this.build();
    this.lang = lang;
    const text = words().keys;
    this.button.setAttribute("aria-disabled", String(this.busy));
    this.count.textContent = text.count(this.published.length);
    this.rows = this.keys.map((key, n) => this.row(key, n)).slice(-SHOWN);
    this.list.replaceChildren(...this.rows.map(({ root }) => root));
    this.drawTimes();
  }

  build() {
    const text = words().keys;
    this.button = el("button", { type: "button", className: "solid", "data-testid": "rotate-keys" }, text.rotate);
    this.button.addEventListener("click", () => this.rotate());
    this.clock = el("strong", { role: "timer", "aria-live": "off", "data-testid": "keys-clock" });
    this.count = el("a", { href: JWKS, className: "small", "data-testid": "keys-count" });
    this.list = el("ol", { className: "key-rows", "data-testid": "keys" });
    const legend = ["published", "signing", "retired"].map((state) =>
      el("li", {}, el("i", { className: `key-bar ${state}` }), text.legend[state]),
    );
    this.box.replaceChildren(
      el("div", { className: "buttons" }, this.button, this.clock, this.count),
      this.list,
      el(
        "ul",
        { className: "key-legend small", "aria-hidden": "true" },
        legend,
        el("li", {}, el("i", { className: "key-now" }), text.legend.now),
      ),
      asCurl("keys", rotating),
    );
  }

  /** A key's name, its bars on the timeline, and in words what the bars show. */
  row(key, n) {
    const text = words().keys;
    const begins = n === 0 ? key.nbf : key.nbf - this.lead;
    const next = this.keys[n + 1]?.nbf ?? Infinity;
    const spans = { published: [begins, key.nbf], signing: [key.nbf, next], retired: [next, key.exp ?? Infinity] };
    const bars = Object.entries(spans).map(([state, span]) => ({
      span,
      bar: el("i", { className: `key-bar ${state}` }),
    }));
    const kept = this.tokens.find(({ kid }) => kid === key.kid);
    const verdict =
      kept &&
      el(
        "span",
        {
          className: kept.status === 200 ? "link" : "link banned",
          "data-testid": "key-token",
          "data-status": kept.status,
        },
        text.token(kept.status),
      );
    const track = el(
      "div",
      { className: "key-track", "aria-hidden": "true" },
      bars.map(({ bar }) => bar),
      el("i", { className: "key-now" }),
    );
    const names = {
      className: "key-row",
      "data-state": key.state,
      "data-kid": key.kid,
      "data-published": String(this.published.includes(key.kid)),
    };
    const said = el("span", { className: "small" });
    const root = el(
      "li",
      names,
      el("code", { title: key.kid }, `${key.kid.slice(0, 8)}…`),
      el("b", {}, text.legend[key.state]),
      said,
      verdict,
      track,
    );
    return { root, key, said, bars };
  }

  drawTimes() {
    if (!this.rows) return;
    const now = Date.now() / 1000;
    const text = words().keys;
    for (const { key, said, bars } of this.rows) {
      const line = text.until(key, Math.max(0, Math.ceil(key.nbf - now)), timeOf(key.exp));
      if (said.textContent !== line) said.textContent = line;
      for (const { span, bar } of bars) place(bar, span, now);
    }
    const waiting = this.waiting();
    this.clock.textContent = waiting ? text.signsIn(Math.max(0, waiting.nbf - now)) : "";
  }
}

/** Puts a bar on the part of the timeline that its span covers. */
function place(bar, span, now) {
  const [from, to] = span.map((at) => Math.max(0, Math.min(1, (at - now + HALF) / (2 * HALF))));
  bar.hidden = from >= to;
  bar.style.left = `${from * 100}%`;
  bar.style.width = `${(to - from) * 100}%`;
}

function timeOf(seconds) {
  if (!seconds) return null;
  return new Date(seconds * 1000).toLocaleString(document.documentElement.lang, {
    month: "short",
    day: "numeric",
    hour: "2-digit",
    minute: "2-digit",
  });
}

const kidOf = (token) => parseObject(decodeBase64url(token.split(".")[0])).kid;

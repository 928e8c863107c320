// The token on the page: read, explained, spoiled, and verified again after every change.

import { byId, copyText, duration, el, prettyJson } from "./dom.js";
import { verify } from "./verify.js";
import { words } from "./words.js";

const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const PARTS = ["header", "claims", "signature"];
const PAGE_STEP = 20; // characters that Page Up and Page Down move

/** Seconds since 1970, the clock of every claim. */
export const now = () => Math.floor(Date.now() / 1000);

/** Shows one token: `{ token, trust, known }`, `known` being what the simulator knows of the person. */
export class TokenView {
  constructor(container) {
    this.container = container;
  }

  /** Takes up a new token and shows it unspoiled. */
  async show(subject) {
    this.subject = subject;
    this.characters = [...subject.token];
    this.parts = partsOf(subject.token);
    this.caret = 0;
    this.build();
    await this.check();
  }

  /** Builds everything anew, in the language of the page; spoiled characters stay spoiled. */
  async rebuild() {
    if (!this.subject) return;
    this.build();
    await this.check();
  }

  build() {
    const text = words();
    this.verdict = el("div", { className: "verdict", "data-testid": "verdict", role: "status", "aria-live": "polite" });
    this.list = el("ol", { className: "checks", "data-testid": "checks" });
    this.taken = el("div", { className: "taken" });
    this.spoiledCount = el("span", { className: "spoiled-count", "data-testid": "spoiled-count" });
    const copy = el("button", { type: "button", className: "quiet", "data-testid": "copy-token" }, text.copy);
    copy.addEventListener("click", () => copyText(this.characters.join(""), copy, this.box, text.copied));
    this.restoreButton = el("button", { type: "button", className: "solid", "data-testid": "restore" }, text.restore);
    this.restoreButton.addEventListener("click", () => this.restore());
    const head = el("div", { className: "token-head" }, this.verdict, this.spoiledCount, this.restoreButton, copy);
    this.container.replaceChildren(head, ...this.buildCharacters());
    const verifying = el(
      "div",
      { className: "verifying" },
      el("h3", { id: "verify-heading" }, text.verifyHeading),
      this.list,
      el("p", { className: "small" }, text.verifyLead, " ", el("a", { href: "/demo/verify.js" }, text.verifyCode)),
    );
    this.paint();
    byId("parts-empty").hidden = true;
    byId("token-parts").replaceChildren(this.buildTools(), el("div", { className: "token-grid" }, verifying, this.taken));
  }

  buildCharacters() {
    this.spans = this.characters.map(() => el("span"));
    const box = el("div", {
      className: "token",
      id: "token-text",
      tabIndex: 0,
      role: "slider",
      "aria-label": words().caretLabel,
      "aria-describedby": "caret-help",
      "aria-valuemin": "1",
      "aria-valuemax": String(this.characters.length),
      "data-testid": "token",
    });
    box.append(...this.spans);
    box.addEventListener("click", (event) => this.spans.includes(event.target) && this.toggle(this.spans.indexOf(event.target)));
    box.addEventListener("keydown", (event) => this.onKey(event));
    this.box = box;
    return [box, el("p", { className: "hidden", id: "caret-help" }, words().caretHelp)];
  }

  buildTools() {
    const text = words();
    const spoilers = PARTS.map((part, n) => {
      const button = el("button", { type: "button", className: `chip part-${n}`, "data-testid": `spoil-${part}` }, text.spoil[part]);
      button.addEventListener("click", () => this.toggle(this.pick(n)));
      return button;
    });
    return el(
      "div",
      { className: "spoiling" },
      el("p", { className: "small" }, text.spoilLead),
      el("div", { className: "buttons" }, el("span", { className: "small" }, text.spoilLabel), spoilers),
    );
  }

  onKey(event) {
    const last = this.characters.length - 1;
    const moves = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, PageUp: PAGE_STEP, PageDown: -PAGE_STEP, Home: -last, End: last };
    if (event.key === "Enter" || event.key === " ") this.toggle(this.caret);
    else if (event.key in moves) this.moveCaret(this.caret + moves[event.key]);
    else return;
    event.preventDefault();
  }

  moveCaret(to) {
    this.caret = Math.max(0, Math.min(this.characters.length - 1, to));
    this.paint();
  }

  /** A random character of part `n` that is not spoiled yet. */
  pick(n) {
    const free = this.spans.map((_, at) => at).filter((at) => this.parts[at] === n && !this.isSpoiled(at) && this.subject.token[at] !== ".");
    return free.length ? free[Math.floor(Math.random() * free.length)] : 0;
  }

  isSpoiled(at) {
    return this.characters[at] !== this.subject.token[at];
  }

  async toggle(at) {
    const original = this.subject.token[at];
    this.characters[at] = this.isSpoiled(at) ? original : another(original);
    this.caret = at;
    await this.check();
  }

  async restore() {
    this.characters = [...this.subject.token];
    await this.check();
    this.box.focus();
  }

  /** Verifies what is in the box now, and shows all that follows from it. */
  async check() {
    const token = this.characters.join("");
    const began = performance.now();
    const checks = await verify(token, this.subject.trust, now());
    if (token !== this.characters.join("")) return; // changed meanwhile; that change has its own check
    this.paint();
    this.drawVerdict(checks, performance.now() - began);
    this.list.replaceChildren(...checks.map(drawCheck));
    this.taken.replaceChildren(...this.drawParts(token), this.drawAbsent(token));
  }

  paint() {
    this.spans.forEach((span, at) => {
      span.textContent = this.characters[at];
      const names = [this.subject.token[at] === "." ? "dot-between" : `part-${this.parts[at]}`];
      if (this.isSpoiled(at)) names.push("spoiled");
      if (at === this.caret) names.push("caret");
      span.className = names.join(" ");
    });
    const spoiled = this.spans.filter((_, at) => this.isSpoiled(at)).length;
    this.spoiledCount.textContent = spoiled ? words().spoiledCount(spoiled) : "";
    this.restoreButton.hidden = spoiled === 0;
    this.describeCaret();
  }

  describeCaret() {
    const { caret } = this;
    const part = this.subject.token[caret] === "." ? words().separator : words().partNames[this.parts[caret]];
    this.box.setAttribute("aria-valuenow", String(caret + 1));
    this.box.setAttribute(
      "aria-valuetext",
      words().caretText(caret + 1, this.characters.length, this.characters[caret], part, this.isSpoiled(caret)),
    );
  }

  drawVerdict(checks, ms) {
    const text = words();
    const failed = checks.find((check) => check.ok === false);
    this.verdict.dataset.verdict = failed ? "refused" : "accepted";
    this.verdict.dataset.failed = failed?.id ?? "";
    const headline = failed ? text.refused[failed.id] : text.accepted;
    const line = failed ? text.refusedBy : text.acceptedBy(this.subject.userId);
    this.verdict.replaceChildren(
      el("i", { className: failed ? "mark cross" : "mark tick", "aria-hidden": "true" }),
      el("div", {}, el("strong", {}, headline), el("p", { className: "small" }, line)),
      el("span", { className: "small took" }, text.took(duration(ms))),
    );
  }

  drawParts(token) {
    const [header = "", claims = ""] = token.split(".");
    return [drawPart(words().header, 0, header), drawPart(words().claims, 1, claims)];
  }

  /** Searches the token, encoded and decoded, for what WeChat said about the person. */
  drawAbsent(token) {
    const text = words();
    const haystack = [token, ...token.split(".").map(readLoosely)].join("\n");
    const rows = Object.entries(text.absent).map(([name, label]) => {
      const secret = this.subject.known[name];
      const found = secret ? haystack.includes(secret) : false;
      const said = !secret ? text.notGiven : found ? text.found : text.notFound;
      return el("li", { className: found ? "bad" : "good" }, el("code", {}, label), el("span", {}, masked(name, secret)), el("b", {}, said));
    });
    return el(
      "div",
      { className: "part absent", "data-testid": "absent" },
      el("h3", {}, text.absentHeading),
      el("ul", {}, rows),
      el("p", { className: "small" }, text.absentLead),
    );
  }
}

/** For each character the part it is in; a dot counts to the part before it. */
function partsOf(token) {
  let part = 0;
  return [...token].map((character) => (character === "." ? part++ : part));
}

function another(original) {
  const others = [...ALPHABET].filter((character) => character !== original);
  return others[Math.floor(Math.random() * others.length)];
}

/** A person's identifiers are hinted at, a session_key is not shown at all, here as elsewhere. */
function masked(name, secret) {
  if (!secret) return "";
  return name === "session_key" ? "••••••••" : `${secret.slice(0, 4)}…${secret.slice(-2)}`;
}

function drawCheck({ id, ok, reason, got }) {
  const text = words();
  const state = ok === null ? "skipped" : ok ? "passed" : "failed";
  const said = { skipped: text.notReached, passed: text.passed, failed: text.notPassed }[state];
  const why = ok === false ? `${text.reasons[reason]} ${got}` : (got ?? text.notReached);
  return el(
    "li",
    { className: state, "data-testid": `check-${id}`, "data-state": state },
    el("i", { className: ok === null ? "mark none" : ok ? "mark tick" : "mark cross", "aria-hidden": "true" }),
    el("span", { className: "what" }, text.checks[id], el("span", { className: "hidden" }, `: ${said}. `)),
    el("span", { className: "why" }, why),
  );
}

/** Decodes without any strictness, to show people what a spoiled part has become. */
function readLoosely(part) {
  const bits = [...part].map((character) => ALPHABET.indexOf(character)).filter((value) => value >= 0);
  const standard = bits.map((value) => (value < 62 ? ALPHABET[value] : "+/"[value - 62])).join("");
  const whole = standard.length % 4 === 1 ? standard.slice(0, -1) : standard;
  return new TextDecoder().decode(Uint8Array.from(atob(whole), (character) => character.charCodeAt(0)));
}

function drawPart(title, n, encoded) {
  const text = readLoosely(encoded);
  const members = parse(text);
  const body = members
    ? el("dl", {}, Object.entries(members).map(([name, value]) => drawMember(name, value)))
    : el("div", {}, el("p", { className: "small" }, words().unreadable), el("pre", { className: "garbled" }, text));
  return el("div", { className: `part part-${n}`, "data-testid": `part-${PARTS[n]}` }, el("h3", {}, title), body);
}

function parse(text) {
  try {
    const value = JSON.parse(text);
    return value && typeof value === "object" ? value : null;
  } catch {
    return null;
  }
}

function drawMember(name, value) {
  const meaning = Object.hasOwn(words().members, name) ? words().members[name] : words().unknownMember;
  const shown = typeof value === "object" && value !== null ? prettyJson(value) : [JSON.stringify(value)];
  const isTime = ["iat", "exp", "nbf"].includes(name) && Number.isSafeInteger(value);
  const when = isTime ? el("span", { className: "when" }, new Date(value * 1000).toLocaleString(document.documentElement.lang)) : null;
  return el("div", {}, el("dt", {}, name), el("dd", {}, el("code", {}, shown), when, el("span", { className: "meaning" }, meaning)));
}

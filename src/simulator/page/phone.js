// The drawn phone: what the mini program shows to the person who holds it.

import { byId, el, drawing } from "./dom.js";
import { words } from "./words.js";

const PEOPLE = ["lin", "chen", "wang", "new"];
const WAIT_CODES = ["wechat_unavailable", "store_unavailable", "accounts_unavailable", "rate_limited", "unreachable"];
const AGAIN_CODES = ["code_used", "code_invalid", "invalid_token"];
const LEAVES = 6;
const TEA = [
  ["steam", "M64 36c-7-10 7-16 0-28M81 36c-7-10 7-16 0-28M98 36c-7-10 7-16 0-28"],
  ["cup", "M42 46h78c0 32-14 50-39 50S42 78 42 46z"],
  ["handle", "M119 54c18-4 22 24-6 28"],
  ["saucer", "M34 102h94"],
  ["leaf-back", "M74 78c-3-17 8-24 26-25 0 16-8 26-23 23"],
  ["vein", "M73 80 90 63"],
];

/** A person's name in the page's language. `stranger` is whoever "someone new" is this time. */
export function personName({ person, stranger }) {
  const text = words();
  if (person !== "new") return text.people[person];
  return text.fullName(text.surnames[stranger.surname], text.givenNames[stranger.given]);
}

/** A person never seen before. */
export function meetStranger() {
  const [first, second, third] = crypto.getRandomValues(new Uint32Array(3));
  const { surnames, givenNames } = words(); // of equal length in both languages
  return { id: `guest-${first.toString(36)}-${second.toString(36)}`, surname: second % surnames.length, given: third % givenNames.length };
}

/** Draws the phone; `actions` is what its buttons do: `choose(person)`, `logIn()`, `leave()`, `close()`. */
export class Phone {
  constructor(actions) {
    this.actions = actions;
    this.screen = byId("screen");
    this.sheet = byId("sheet");
    setInterval(() => this.drawRetry(), 250);
  }

  draw({ person, session, failure, busy }) {
    this.drawScreen(person, session);
    this.drawPrimary(session, busy);
    this.drawSheet(failure);
  }

  /** Redraws only what shows something else now, so that focus and choices are not lost. */
  drawScreen(person, session) {
    const shown = JSON.stringify([document.documentElement.lang, session ?? person]);
    if (shown === this.shownScreen) return;
    this.shownScreen = shown;
    const focused = this.screen.contains(document.activeElement) ? document.activeElement.dataset.testid : null;
    this.screen.replaceChildren(...(session ? this.memberScreen(session) : this.welcomeScreen(person)));
    if (focused) this.focus(`[data-testid="${focused}"]`);
  }

  /** Puts the focus on what `selector` finds, or on the first button. */
  focus(selector) {
    (this.screen.querySelector(selector) ?? this.screen.querySelector("button")).focus();
  }

  drawPrimary(session, busy) {
    const button = this.screen.querySelector(".primary");
    button.setAttribute("aria-disabled", String(busy));
    button.classList.toggle("busy", busy);
    const resting = session ? words().again : words().logIn;
    button.querySelector("span").textContent = busy ? words().loggingIn : resting;
  }

  welcomeScreen(chosen) {
    const text = words();
    const people = PEOPLE.map((person) => this.personChoice(person, person === chosen));
    return [
      el("div", { className: "picture" }, drawing("0 0 160 110", TEA)),
      el("p", { className: "welcome" }, text.welcome),
      el("p", { className: "small" }, text.welcomeSmall),
      el("fieldset", { className: "people" }, el("legend", {}, text.who), people),
      this.primaryButton("login"),
    ];
  }

  personChoice(person, checked) {
    const input = el("input", { type: "radio", name: "person", value: person, checked, "data-testid": `person-${person}` });
    input.addEventListener("change", () => this.actions.choose(person));
    const name = person === "new" ? words().someoneNew : words().people[person];
    return el("label", { className: "person" }, input, avatar(person, person === "new" ? "+" : name[0]), el("span", {}, name));
  }

  primaryButton(testid) {
    const spinner = el("i", { className: "spinner", "aria-hidden": "true" });
    return this.button("primary", testid, this.actions.logIn, spinner, el("span"));
  }

  button(className, testid, onPress, ...content) {
    const button = el("button", { type: "button", className, "data-testid": testid }, content);
    button.addEventListener("click", () => onPress());
    return button;
  }

  memberScreen(session) {
    const text = words();
    const { expires_in: life, new_user: isNew } = session.answer;
    const until = new Date((session.at + life) * 1000);
    const when = until.toLocaleString(document.documentElement.lang, { dateStyle: "medium", timeStyle: "short" });
    const name = personName(session);
    const greeting = el("strong", { "data-testid": "member-name" }, text.hello(name));
    return [
      el("div", { className: "greeting" }, avatar(session.person, name[0]), greeting),
      memberCard(session.answer),
      el("p", { className: "small" }, isNew ? text.newSmall : text.knownSmall),
      el("p", { className: "small until" }, `${text.validUntil} ${when}`),
      this.primaryButton("log-in-again"),
      this.button("plain", "leave", this.actions.leave, text.leave),
    ];
  }

  /** The mini program's own message to the person, over whatever the screen shows. */
  drawSheet(failure) {
    const shown = [failure?.id, document.documentElement.lang].join();
    if (shown === this.shownSheet) return;
    this.shownSheet = shown;
    this.failure = failure;
    this.sheet.hidden = !failure;
    this.sheet.replaceChildren(...(failure ? this.sheetContent(failure) : []));
    this.drawRetry();
  }

  sheetContent({ code }) {
    const says = words().shopSays;
    const line = WAIT_CODES.includes(code) ? says.wait : AGAIN_CODES.includes(code) ? says.again : says.refused;
    this.retry = this.button("solid", "retry", () => this.retry.dataset.ready === "true" && this.actions.logIn());
    return [el("p", { "data-testid": "phone-message" }, line), this.retry, this.button("plain", "close-sheet", this.actions.close, words().close)];
  }

  /** The retry button keeps to Retry-After: it counts down, and does nothing until then. */
  drawRetry() {
    if (!this.failure) return;
    const left = Math.ceil((this.failure.readyAt - performance.now()) / 1000);
    const ready = AGAIN_CODES.includes(this.failure.code) ? words().freshCode : words().retry;
    this.retry.textContent = left > 0 ? words().retryIn(left) : ready;
    this.retry.dataset.ready = String(left <= 0);
    this.retry.setAttribute("aria-disabled", String(left > 0));
  }
}

function memberCard({ user_id: userId, new_user: isNew }) {
  const text = words();
  const badge = { className: isNew ? "badge new" : "badge", "data-testid": "member-badge", "data-new": String(isNew) };
  const leaves = Array.from({ length: LEAVES }, (_, n) => el("i", { className: n === 0 ? "leaf full" : "leaf" }));
  return el(
    "div",
    { className: "card-member" },
    el("span", { className: "card-title" }, text.member),
    el("span", badge, isNew ? text.newMember : text.knownMember),
    el("span", { className: "leaves", "aria-hidden": "true" }, leaves),
    el("span", { className: "card-label" }, text.userId),
    el("code", { "data-testid": "member-user-id" }, userId),
  );
}

/** A round picture with the first character of the name. */
function avatar(person, letter) {
  return el("i", { className: `avatar ${person}`, "aria-hidden": "true" }, letter);
}

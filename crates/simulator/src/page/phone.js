// The drawn phone: which mini program is open, which of its screens, and what lies over it.

import { button, byId, el, onChange } from "./dom.js";
import { APPS } from "./people.js";
import { adviceFor } from "./problem.js";
import { bindingScreen, memberScreen, scanSheet, welcomeScreen } from "./screens.js";
import { showsCode } from "./scan.js";
import { words } from "./words.js";

const WAIT_CODES = ["wechat_unavailable", "store_unavailable", "accounts_unavailable", "rate_limited", "unreachable"];
const AGAIN_CODES = ["code_used", "code_invalid", "invalid_token"];
const SAYINGS = { invalid_credentials: "wrongPassword", already_bound: "taken" };
const OF_A_SCAN = ["number_mismatch", "unknown_device_code", "forbidden"];

/**
 * Draws the phone; `actions` is what its buttons do: `open(app)`, `choose(person)`, `logIn()`, `askForPhone()`,
 * `givePhone()`, `bind()`, `unbind()`, `useService()`, `leave()`, `close()`, `scan()`, `allowScan()`, `denyScan()`.
 */
export class Phone {
  constructor(actions) {
    this.actions = actions;
    this.screen = byId("screen");
    this.sheet = byId("sheet");
    this.build = onChange(() => 0, (view) => this.buildApps(view.app));
    this.show = onChange(subjectOf, (view) => this.drawScreen(view));
    const over = ({ app, failure, consent, scan }) => [app, spoken(failure)?.id, consent, scan && [scan.said, scan.scene]];
    this.say = onChange(over, (view) => this.drawSheet(view));
    byId("scan-button").addEventListener("click", actions.scan);
    setInterval(() => this.drawRetry(), 250);
  }

  draw(view) {
    const { app, busy } = view;
    this.build(view);
    for (const input of this.apps) Object.assign(input, { disabled: busy, checked: input.value === app });
    for (const name of ["aria-label", "title"]) byId("scan-button").setAttribute(name, words().scan.labels.press);
    byId("scan-button").classList.toggle("invited", showsCode(view.laptop));
    byId("shop").textContent = words().shops[app].name;
    byId("phone").dataset.app = app;
    this.show(view);
    this.drawPrimary(busy);
    this.say(view);
  }

  buildApps(chosen) {
    const options = Object.keys(APPS).map((app) => {
      const input = el("input", { type: "radio", name: "app", value: app, checked: app === chosen, "data-testid": `app-${app}` });
      input.addEventListener("change", () => this.actions.open(app));
      return el("label", {}, input, el("span", {}, words().shops[app].name));
    });
    byId("apps").replaceChildren(el("legend", { className: "hidden" }, words().appsLabel), ...options);
    this.apps = [...byId("apps").querySelectorAll("input")];
  }

  drawScreen(view) {
    const { session, asking } = view;
    const focused = this.screen.contains(document.activeElement) ? document.activeElement : null;
    const build = session ? memberScreen : asking ? bindingScreen : welcomeScreen;
    this.screen.replaceChildren(...build(view, this.actions));
    // A question that has just been put is read out from its beginning.
    if (focused) this.focus(asking && !session ? "[data-testid=ask]" : `[data-testid="${focused.dataset.testid}"]`);
  }

  /** Puts the focus on what `selector` finds, or on the first button. The window stays where it is. */
  focus(selector) {
    (this.screen.querySelector(selector) ?? this.screen.querySelector("button")).focus({ preventScroll: true });
  }

  drawPrimary(busy) {
    const primary = this.screen.querySelector(".primary");
    const people = this.screen.querySelector(".people");
    if (people) people.disabled = busy;
    primary.setAttribute("aria-disabled", String(busy));
    primary.classList.toggle("busy", busy);
    primary.querySelector("span").textContent = busy ? words().loggingIn : primary.dataset.rest;
  }

  /** The mini program's own message, WeChat's question about the phone number, or what was scanned, over whatever the screen shows. */
  drawSheet({ app, failure, consent, scan }) {
    const said = spoken(failure);
    this.failure = said;
    this.retry = null;
    const content = consent ? this.consentContent(consent, app) : scan ? scanSheet(scan, this.actions) : said && this.failureContent(said);
    this.sheet.hidden = !content;
    this.sheet.replaceChildren(...(content || []));
    if (consent || scan) this.sheet.querySelector("button, input").focus({ preventScroll: true });
    this.drawRetry();
  }

  consentContent({ number }, app) {
    const text = words().consent;
    return [
      el("p", { id: "sheet-says", "data-testid": "consent" }, text.title(words().shops[app].name)),
      el("p", { className: "phone-number" }, `${number.slice(0, 3)} •••• ${number.slice(-4)}`),
      el("p", { className: "small" }, text.lead),
      button("solid", "allow", this.actions.givePhone, text.allow),
      button("plain", "deny", this.actions.close, text.deny),
    ];
  }

  failureContent({ code, again }) {
    const text = words().shopSays;
    const line = SAYINGS[code] ?? (WAIT_CODES.includes(code) ? "wait" : AGAIN_CODES.includes(code) ? "again" : "refused");
    const close = button("plain", "close-sheet", this.actions.close, words().close);
    const said = OF_A_SCAN.includes(code) ? adviceFor(code)[0] : text[line];
    const content = [el("p", { id: "sheet-says", "data-testid": "phone-message" }, said), close];
    if (SAYINGS[code] || [...OF_A_SCAN, "user_blocked"].includes(code)) return content; // to try the same again does not help
    this.retry = button("solid", "retry", () => this.retry.dataset.ready === "true" && again());
    return [content[0], this.retry, close];
  }

  /** The retry button keeps to Retry-After: it counts down, and does nothing until then. */
  drawRetry() {
    if (!this.retry) return;
    const left = Math.ceil((this.failure.readyAt - performance.now()) / 1000);
    const ready = AGAIN_CODES.includes(this.failure.code) ? words().freshCode : words().retry;
    this.retry.textContent = left > 0 ? words().retryIn(left) : ready;
    this.retry.dataset.ready = String(left <= 0);
    this.retry.setAttribute("aria-disabled", String(left > 0));
  }
}

/** Being asked who one is is no failure to the person: the screen does it. */
const spoken = (failure) => (failure?.closed || failure?.code === "binding_required" ? null : failure);

/** What the screen shows. */
function subjectOf({ app, person, personId, session, asking, accounts }) {
  return [app, person, personId, session ?? asking?.opened ?? accounts.map((account) => account.links)];
}

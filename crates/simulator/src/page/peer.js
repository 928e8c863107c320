// A service that verifies tokens by itself, and the clock from the end of a token to the service's first refusal.

import { call } from "./asking.js";
import { asCurl, ending } from "./curl.js";
import { byId, chip, el, group } from "./dom.js";
import { APPS, nameOf } from "./people.js";
import { succeeded } from "./steps.js";
import { words } from "./words.js";

const GLANCE = 250; // ms between two requests to the service while the clock runs
const TICK = 100; // ms between two drawings of the clock, which has one decimal
const PATIENCE = 60_000; // ms, after which the clock stops although the service still accepts the token
const RESULTS = 4; // the latest are shown

/** What ends a token, by name. Each takes `{ token, at, userId, person, app }`: the token, its second, and whose it is. */
const ACTS = {
  logout: ({ token }) => call("POST", "/logout", undefined, token),
  everywhere: ({ token }) => call("POST", "/logout", { everywhere: true }, token),
  elsewhere: logInElsewhere,
  ban: ({ userId }) => call("PUT", blockOf(userId)),
};

const blockOf = (userId) => `/demo/blocks/${encodeURIComponent(userId)}`;
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const askPeer = (token) => call("GET", "/demo/orders", undefined, token);

/** A login of the same person in the same mini program, on a phone that is not drawn. */
async function logInElsewhere({ person, app, at }) {
  // A login ends the tokens of earlier seconds, because `iat` counts seconds.
  await pause((at + 1) * 1000 - Date.now());
  const appid = APPS[app];
  const minted = await call("POST", "/_simulator/codes", { person, appid });
  return call("POST", "/login", { appid, code: minted.answer?.body?.codes?.[0] });
}

/**
 * The panel. `actions`: `isBusy()` says whether a login runs, `ended(act, subject)` is called when an act has succeeded,
 * `refused(subject)` when the service has refused the token, `lifted()` when a ban was lifted, `say(text)` tells people
 * who listen.
 */
export class PeerPanel {
  constructor(actions) {
    this.actions = actions;
    this.box = byId("peer");
    this.subject = null; // the latest token that the phone got, and whose it is
    this.reply = null; // the service's latest answer
    this.watch = null; // while the clock runs, and after: { act, began, ms }
    this.results = [];
    this.busy = false;
    setInterval(() => this.drawClock(), TICK);
  }

  /** Takes up the token of a login, and asks the service about it. */
  async take(subject) {
    this.subject = subject;
    if (!this.busy) await this.ask();
  }

  async ask() {
    this.reply = await askPeer(this.subject.token);
    this.drawState();
    return this.reply.answer?.status;
  }

  async act(name) {
    if (!this.mayEnd()) return;
    this.busy = true;
    this.drawState();
    const { subject } = this;
    const reply = await ACTS[name](subject);
    const began = performance.now();
    await this.actions.ended(succeeded(reply) ? name : null, subject);
    if (succeeded(reply)) this.record({ act: name, ...(await this.watchUntilRefused(name, subject, began)), ...(await elsewhere(reply)) });
    else this.record({ act: name, notDone: reply.answer?.body?.code ?? reply.answer?.status ?? "–" });
    this.busy = false;
    this.actions.refused(subject);
    if (subject !== this.subject) await this.ask(); // somebody has logged in meanwhile
    this.drawState();
  }

  /** Asks the service again and again until it accepts the token no longer. Returns `{ ms, status }`. */
  async watchUntilRefused(act, { token }, began) {
    this.watch = { act, began, ms: null };
    for (;;) {
      this.reply = await askPeer(token);
      const ms = performance.now() - began;
      const status = this.reply.answer?.status;
      this.drawState();
      if (status !== 200 || ms > PATIENCE) {
        this.watch.ms = ms;
        return { ms, status };
      }
      await pause(GLANCE);
    }
  }

  record(result) {
    this.results = [result, ...this.results].slice(0, RESULTS);
    this.drawResults();
    this.drawClock();
    this.actions.say(resultInWords(result));
  }

  async lift(userId) {
    await call("DELETE", blockOf(userId));
    this.actions.say(words().peer.lifted);
    await this.actions.lifted();
    this.askButton.focus(); // the button that was pressed is gone
  }

  /** Only a token that the service accepts can be ended before its eyes. */
  mayEnd() {
    return Boolean(this.subject) && !this.busy && !this.actions.isBusy() && this.reply?.answer?.status === 200;
  }

  draw(accounts) {
    if (this.lang !== document.documentElement.lang) this.build();
    this.drawBans(accounts.filter((account) => account.blocked));
    this.drawState();
  }

  build() {
    const text = words().peer;
    this.lang = document.documentElement.lang;
    this.shown = null;
    this.shownBans = null;
    this.verdict = el("div", { className: "verdict", role: "status", "aria-live": "polite", "data-testid": "peer-verdict" });
    this.clock = el("strong", { role: "timer", "aria-live": "off", "aria-labelledby": "peer-clock-label", "data-testid": "peer-clock" });
    this.clockLabel = el("span", { className: "small", id: "peer-clock-label" });
    this.askButton = chip("peer-ask", "GET /orders", () => this.subject && this.ask());
    this.buttons = Object.keys(ACTS).map((name) => chip(`peer-${name}`, text.acts[name], () => this.act(name)));
    this.bans = el("div", { className: "buttons", role: "group", "aria-label": text.bans });
    this.list = el("ol", { className: "peer-results", "data-testid": "peer-results" });
    this.box.replaceChildren(
      el("div", { className: "peer-now" }, this.verdict, el("p", { className: "peer-clock" }, this.clock, this.clockLabel)),
      group(text.asking, this.askButton),
      group(text.ending, ...this.buttons),
      this.bans,
      el("p", { className: "small" }, text.oneLogin),
      el("h3", { className: "hidden" }, text.results),
      this.list,
      asCurl("ending", ending),
    );
    this.drawResults();
    this.drawClock();
  }

  drawState() {
    for (const button of this.buttons) button.setAttribute("aria-disabled", String(!this.mayEnd()));
    this.askButton.setAttribute("aria-disabled", String(!this.subject));
    this.drawVerdict();
  }

  /** Redraws only what says something else now, so that it is not read out four times a second. */
  drawVerdict() {
    const answer = this.reply?.answer;
    const shown = JSON.stringify([Boolean(this.reply), answer?.status, answer?.text, this.subject?.person, this.lang]);
    if (shown === this.shown) return;
    this.shown = shown;
    const text = words().peer;
    const state = !this.reply ? "none" : answer?.status === 200 ? "accepted" : "refused";
    this.verdict.dataset.verdict = state;
    this.verdict.dataset.status = answer?.status ?? "";
    const mark = { none: "none", accepted: "tick", refused: "cross" }[state];
    const [headline, details] = !this.reply ? [text.notAsked, [text.notAskedLine]] : inWords(answer, this.subject);
    const lines = el("div", {}, el("strong", {}, headline), el("p", { className: "small" }, details));
    this.verdict.replaceChildren(el("i", { className: `mark ${mark}`, "aria-hidden": "true" }), lines);
  }

  drawClock() {
    const text = words().peer;
    const { watch } = this;
    const state = !watch ? "idle" : watch.ms === null ? "running" : "stopped";
    this.clock.dataset.state = state;
    this.clock.textContent = text.seconds(watch ? (watch.ms ?? performance.now() - watch.began) / 1000 : 0);
    this.clockLabel.textContent = text.clock[state];
  }

  drawBans(banned) {
    const shown = banned.map((account) => account.user_id).join(" ");
    if (shown === this.shownBans) return;
    this.shownBans = shown;
    this.bans.hidden = !banned.length;
    const text = words().peer;
    const lift = ({ user_id: userId }) => chip(`lift-${userId}`, text.lift(userId), () => this.lift(userId));
    this.bans.replaceChildren(el("span", { className: "small" }, text.bans), ...banned.map(lift));
  }

  drawResults() {
    const row = (result) => el("li", { "data-act": result.act, "data-status": result.status ?? "", "data-ms": result.ms?.toFixed(0) ?? "" }, resultInWords(result));
    this.list.replaceChildren(...this.results.map(row));
  }
}

/** The status with which the service answers the token of a login elsewhere. */
async function elsewhere({ answer }) {
  const token = answer?.body?.access_token;
  return token ? { other: (await askPeer(token)).answer?.status } : {};
}

/** The headline of an answer, and the parts of the line below. */
function inWords(answer, { userId, person, app }) {
  const text = words().peer;
  if (!answer) return [words().noAnswer, [words().advice.unreachable[1]]];
  const whose = text.whose(nameOf(person), words().shops[app].name);
  if (answer.status === 200) return [text.accepted(userId), [whose]];
  const reason = el("code", { lang: "en" }, answer.body?.reason ?? answer.body?.code ?? "");
  return [answer.body?.ended ? text.ended : text.refused(answer.status), [whose, text.colon, reason]];
}

function resultInWords({ act, ms, status, notDone, other }) {
  const text = words().peer;
  const name = text.acts[act];
  if (notDone) return text.notDone(name, notDone);
  const after = text.seconds(ms / 1000);
  if (status === 200) return text.neverRefused(name, after);
  const said = text.refusedAfter(name, status ? String(status) : words().noAnswer, after);
  return other ? said + text.other(other) : said;
}

// The devices beside the phone: a website without passwords on a laptop, and on a tablet a page that WeChat has opened. Knows no
// request; scan.js and tablet.js make them.

import { Diagram } from "./diagram.js";
import { button, byId, chip, el, group, onChange } from "./dom.js";
import { showsCode } from "./scan.js";
import { succeeded } from "./steps.js";
import { words } from "./words.js";

/** The requests in the order in which they matter. */
const CALLS = ["ask", "look", "decide", "fetch", "check"];

/** A device; `name` is its element's and its part's of the state. `actions`: `ask()`. */
export class Device {
  constructor(name, actions) {
    Object.assign(this, { name, actions, site: byId(name) });
    this.show = onChange((view) => [showsCode(view[name]) || view[name].stage, view[name].code], (view) => this.drawSite(view[name]));
  }

  draw(view) {
    this.show(view);
    this.site.dataset.stage = view[this.name].stage;
  }

  drawSite(device) {
    const hadFocus = this.site.contains(document.activeElement);
    const text = { ...words().scan, ...words()[this.name] };
    this.site.setAttribute("aria-label", text.labels.device);
    this.site.replaceChildren(...SITES[showsCode(device) ? "shown" : device.stage](device, text, this.actions));
    if (hadFocus) this.site.querySelector("h3").focus({ preventScroll: true }); // the button that was pressed is gone
  }
}

/** The laptop with what throws it out; further `actions`: `end(act)`, `lift(userId)`. */
export class Laptop extends Device {
  constructor(actions) {
    super("laptop", actions);
    this.diagram = new Diagram(byId("scan-diagram"), "call", () => [...words().parties.slice(0, -1), words().scan.party]);
    this.list = onChange((view) => [userOf(view), view.mayEnd, isBanned(view)], (view) => this.drawEnds(view));
  }

  draw(view) {
    const { laptop } = view;
    super.draw(view);
    this.list(view);
    if (showsCode(laptop)) this.site.querySelector("h3").textContent = words().scan.stages[laptop.stage];
    this.diagram.draw(null, CALLS.map((name) => stepOf(name, laptop.calls[name])), CALLS.length, false);
  }

  /** What throws both out. */
  drawEnds(view) {
    const [user, { mayEnd }] = [userOf(view), view];
    const { acts, bans, lift } = words().services;
    const ends = ["ban", "everywhere"].map((name) => chip(`laptop-${name}`, acts[name], () => this.actions.end(name)));
    for (const end of ends) end.setAttribute("aria-disabled", String(!mayEnd));
    const ban = isBanned(view) && group(bans, chip("laptop-lift", lift(user), () => this.actions.lift(user)));
    byId("laptop-ends").replaceChildren(...(ban ? [ban] : user ? [group(words().scan.labels.ends, ...ends)] : []));
  }
}

const userOf = ({ laptop, tablet }) => laptop.user ?? tablet.user;
const isBanned = (view) => view.accounts.some((account) => account.user_id === userOf(view) && account.blocked);

function stepOf(name, made) {
  const [plan, note] = words().scan.calls[name];
  const isWaiting = made?.answer?.body?.error === "authorization_pending";
  const state = !made ? "idle" : succeeded(made) ? "done" : isWaiting ? "active" : "failed";
  return { name, plan, label: plan, state, ms: made?.ms ?? null, notes: [note], exchanges: made ? [made] : [] };
}

const title = (text) => el("h3", { className: "welcome", tabIndex: -1 }, text);
const mark = (kind) => el("i", { className: `mark ${kind}`, "aria-hidden": "true" });
const line = ({ name }, text) => el("p", { className: "small", "data-testid": `${name}-says` }, text);
const login = ({ name }, text, { ask }) => button("solid", `${name}-login`, ask, text);

/** What a device shows, by stage. */
const SITES = {
  idle: (device, { lines, labels }, actions) => [title(words().shops.tea.name), line(device, lines.welcome), login(device, labels.login, actions)],
  shown(device, text) {
    const { code } = device;
    // Only the path: the issuer may say localhost where the page was opened as 127.0.0.1.
    const picture = el("img", { src: new URL(code.mini_program_code_uri).pathname, alt: text.stages.shown });
    const number = el("p", { className: "match", "data-testid": "laptop-number" }, code.match);
    const beside = [title(), line(device, text.lines.how), number, line(device, text.lines.compare), el("code", { "data-testid": "user-code" }, code.user_code)];
    return [el("div", { className: "code" }, picture, mark("tick")), el("div", {}, beside)];
  },
  in({ user, client, until }, text) {
    const expires = new Date(until * 1000).toLocaleString(document.documentElement.lang, { dateStyle: "medium", timeStyle: "short" });
    return [mark("tick"), title(text.stages.in), facts({ sub: user, client_id: client, exp: expires })];
  },
  out(device, text, actions) {
    const { acts, seconds } = words().services;
    return [mark("cross"), title(text.stages.out), line(device, text.out(acts[device.act], seconds(device.after))), login(device, text.labels.login, actions)];
  },
  refused: (device, text, actions) => [mark("cross"), title(text.stages.refused), line(device, text.refused[device.why] ?? text.refused.other), login(device, text.labels.again, actions)],
};

/** Names with their values. */
export function facts(values) {
  const rows = Object.entries(values).map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", { "data-testid": `fact-${name}` }, value)));
  return el("dl", { className: "facts" }, rows);
}

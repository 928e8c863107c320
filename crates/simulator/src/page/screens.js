// What the mini program shows: who may log in, the question who that is, the member's card.

import { button, chip, el, group } from "./dom.js";
import { facts } from "./laptop.js";
import { accountOf, AWAY, nameOf, PEOPLE, standingOf, WRONG_PASSWORD } from "./people.js";
import { words } from "./words.js";

const LEAVES = 6;
const STEAM = ["steam", "M64 36c-7-10 7-16 0-28M81 36c-7-10 7-16 0-28M98 36c-7-10 7-16 0-28"];
const PICTURES = {
  tea: [
    STEAM,
    ["cup", "M42 46h78c0 32-14 50-39 50S42 78 42 46z"],
    ["handle", "M119 54c18-4 22 24-6 28"],
    ["saucer", "M34 102h94"],
    ["leaf-back", "M74 78c-3-17 8-24 26-25 0 16-8 26-23 23"],
    ["vein", "M73 80 90 63"],
  ],
  bakery: [
    STEAM,
    ["cup", "M38 96c-9-18 8-48 43-48s52 30 43 48c-22 6-64 6-86 0z"],
    ["handle", "M81 49c-3 8-3 15 0 22M81 49c-11 4-18 12-21 22M81 49c11 4 18 12 21 22"],
    ["saucer", "M28 104h106"],
  ],
};

/** A drawing of paths, each `[class, d]`; it says nothing to people who listen. */
function drawing(viewBox, paths) {
  const [picture, ...lines] = ["svg", ...paths.map(() => "path")].map((tag) => document.createElementNS("http://www.w3.org/2000/svg", tag));
  for (const [name, value] of [["viewBox", viewBox], ["aria-hidden", "true"]]) picture.setAttribute(name, value);
  paths.forEach(([name, d], n) => [["class", name], ["d", d]].forEach((pair) => lines[n].setAttribute(...pair)));
  picture.append(...lines);
  return picture;
}

/** The button that logs in. Its text is in `data-rest`, and set by the phone, which shows there that a login runs. */
function primary(testid, onPress, text) {
  const element = button("primary", testid, onPress, el("i", { className: "spinner", "aria-hidden": "true" }), el("span"));
  element.dataset.rest = text;
  return element;
}

export function welcomeScreen({ app, person, stranger, accounts }, actions) {
  const text = words();
  const people = PEOPLE.map((choice) => {
    const id = choice === "new" ? stranger : choice;
    return personChoice(choice, id, { app, accounts, checked: choice === person }, actions);
  });
  return [
    el("div", { className: "picture" }, drawing("0 0 160 110", PICTURES[app])),
    el("p", { className: "welcome" }, text.shops[app].welcome),
    el("p", { className: "small" }, text.shops[app].small),
    el("fieldset", { className: "people" }, el("legend", {}, text.who), people),
    primary("login", () => actions.logIn(), text.logIn),
    button("plain", "login-by-phone", actions.askForPhone, text.byPhone),
  ];
}

function personChoice(choice, id, { app, accounts, checked }, actions) {
  const input = el("input", { type: "radio", name: "person", value: choice, checked, "data-testid": `person-${choice}` });
  input.addEventListener("change", () => actions.choose(choice));
  const standing = standingOf(accounts, id, app);
  // A stranger who has been next door is somebody by now.
  const isUnknown = choice === "new" && standing === "noAccount";
  const name = isUnknown ? words().someoneNew : nameOf(id);
  const known = accounts.length ? words().standing[standing] : "\u00a0"; // not asked yet
  const lines = el("span", {}, name, el("small", { "data-testid": `standing-${choice}` }, known));
  return el("label", { className: "person" }, input, avatar(choice, isUnknown ? "+" : name[0]), lines);
}

/** Who is bound to no account is asked once. The form keeps what was typed in `form`. */
export function bindingScreen({ form, accounts, personId }, actions) {
  const text = words().ask;
  const heading = el("h3", { className: "welcome", tabIndex: -1, "data-testid": "ask" }, text.heading);
  const [username, password] = ["username", "password"].map((name) => field(name, text[name], form));
  const send = el("form", { className: "asking" }, username.row, password.row, fills());
  const submit = primary("bind", () => {}, text.submit);
  submit.type = "submit"; // and with it the Enter key in the fields
  send.append(submit);
  send.addEventListener("submit", (event) => {
    event.preventDefault();
    actions.bind();
  });

  function fills() {
    const own = accountOf(accounts, personId);
    const others = accounts.find((account) => account.owner === AWAY);
    const fill = (name, account, secret) => chip(`fill-${name}`, text[name], () => write(account.username, secret));
    return group(
      text.fill,
      own?.username ? fill("own", own, own.password) : null,
      others ? fill("others", others, others.password) : null,
      fill("wrong", own?.username ? own : { username: "lin" }, WRONG_PASSWORD),
    );
  }

  function write(name, secret) {
    Object.assign(form, { username: name, password: secret });
    username.input.value = name;
    password.input.value = secret;
  }

  return [
    heading,
    el("p", { className: "small" }, text.lead),
    send,
    button("plain", "bind-by-phone", actions.askForPhone, text.byPhone),
    button("plain", "leave", actions.leave, words().leave),
  ];
}

function field(name, label, form) {
  const type = name === "password" ? "password" : "text";
  const input = el("input", { type, value: form[name], autocomplete: "off", required: true, "data-testid": name });
  input.setAttribute("autocapitalize", "none");
  input.addEventListener("input", () => (form[name] = input.value));
  return { input, row: el("label", { className: "field" }, el("span", {}, label), input) };
}

export function memberScreen({ session, personId }, actions) {
  const text = words();
  const { expires_in: life, new_user: isNew } = session.answer;
  const until = new Date((session.at + life) * 1000);
  const when = until.toLocaleString(document.documentElement.lang, { dateStyle: "medium", timeStyle: "short" });
  const name = nameOf(personId);
  const said = isNew ? text.newSmall : text.how[session.how](text.shops[session.otherApp].name);
  return [
    el("div", { className: "greeting" }, avatar(session.person, name[0]), el("strong", { "data-testid": "member-name" }, text.hello(name))),
    memberCard(session.answer),
    el("p", { className: "small", "data-testid": "member-how", "data-how": session.how }, said),
    el("p", { className: "small until" }, `${text.validUntil} ${when}`),
    primary("log-in-again", () => actions.logIn(), text.again),
    button("plain", "orders", actions.useService, session.orders === undefined ? text.myOrders : text.ordersCounted(session.orders)),
    el("div", { className: "two" }, button("plain", "leave", actions.leave, text.leave), button("plain", "unbind", actions.unbind, text.unbind)),
  ];
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

/** What asks for a login, from where and when; or what has come of it. */
export function scanSheet(scan, actions) {
  const text = words();
  const { asks, warning, choose, facts: names } = text.scan.sheet;
  const headline = (said) => el("p", { id: "sheet-says", "data-testid": "scan-says", "data-said": scan.said }, said);
  if (scan.said) return [headline(text.scan.said[scan.said]), button("solid", "close-sheet", actions.close, text.close)];
  const { client_name: name, address, user_agent: agent, requested_at: at, choices } = scan.asks;
  const time = new Date(at * 1000).toLocaleTimeString(document.documentElement.lang);
  const send = button("solid", "scan-allow", actions.allowScan, text.consent.allow);
  const mark = () => send.setAttribute("aria-disabled", String(!scan.number));
  const numbers = choices.map((number) => {
    const input = el("input", { type: "radio", name: "number", value: number, checked: scan.number === number });
    input.addEventListener("change", () => mark((scan.number = number)));
    return el("label", { className: "person" }, input, number);
  });
  mark();
  return [
    headline(asks(name)),
    el("p", { className: "small" }, warning),
    facts(Object.fromEntries([deviceOf(agent, text.scan.sheet), address, time].map((value, n) => [names[n], value]))),
    el("fieldset", { className: "numbers" }, el("legend", {}, choose), numbers),
    send,
    button("plain", "scan-deny", actions.denyScan, text.consent.deny),
  ];
}

/** wxmint has named the browser by a list of its own: "Chrome on Windows", or "unknown device". */
function deviceOf(agent, { unknown }) {
  return agent === "unknown device" ? unknown : agent.split(" on ").reverse().join(" · ");
}

/** A round picture with the first character of the name. */
function avatar(person, letter) {
  return el("i", { className: `avatar ${person}`, "aria-hidden": "true" }, letter);
}

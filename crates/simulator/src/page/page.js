// The page of `wxmint demo`: plays the mini program, and shows what really happens when somebody logs in.
// state.js holds what the page knows, login.js what the phone does, held.js what is done with the token in the box.

import { knock, onReach, phoneNumber, stillAccepted } from "./asking.js";
import { Diagram, drawTiming } from "./diagram.js";
import { byId } from "./dom.js";
import { lift, mayEnd, reexamine, spoil, stopClock, verdict } from "./held.js";
import { Laptop } from "./laptop.js";
import { end, logIn, takeUp, unbind, useService } from "./login.js";
import { meetStranger } from "./people.js";
import { Phone } from "./phone.js";
import { drawProblem } from "./problem.js";
import { allow, askForScan, deny, dropScan, scan, stay } from "./scan.js";
import { ServicesPanel } from "./services.js";
import { draw, drawWith, keepPhone, keptPhone, personId, refreshAccounts, state } from "./state.js";
import { readSteps } from "./steps.js";
import { Tabs } from "./tabs.js";
import { TokenView } from "./token.js";
import { words } from "./words.js";
import { keep, themeSwitch } from "/docs/theme.js";

const KNOCK_AFTER = 2_000; // ms

let isReady = false;
let nextKnock = 0;

const diagram = new Diagram(byId("diagram"));
const views = [
  new Phone({ open, choose, leave, logIn, askForPhone, givePhone, bind, unbind, useService, close: closeSheet, scan: () => (tabs.choose("scan"), scan(open)), allowScan: allow, denyScan: deny }),
  new TokenView(spoil),
  new Laptop({ ask: askForScan, end, lift }),
  new ServicesPanel({ ask: reexamine, end, lift }),
  { draw: drawProblem },
];
const [phone] = views;
const tabs = new Tabs(byId("tabs"), ["login", "token", "services", "scan"]);

// ---- what the buttons do ----

/** Opens a mini program. What the phone does then is its onShow. */
async function open(app) {
  Object.assign(state, { app, failure: null, consent: null, scan: null, held: null, ending: null });
  draw();
  await takeUp();
}

function choose(person) {
  Object.assign(state, { person, sessions: {}, asking: {}, scan: null, held: null, ending: null });
  if (person === "new") state.stranger = meetStranger();
  draw();
}

/** Back to the choice of people. The next "someone new" is again a person never seen. */
function leave() {
  if (state.busy) return;
  Object.assign(state, { failure: null, consent: null });
  choose(state.person);
  phone.focus("input:checked");
}

function closeSheet() {
  if (state.consent) state.consent = null;
  else if (state.scan) state.scan = null;
  else state.failure.closed = true;
  draw();
  phone.focus("button");
}

/** The ticket that the form came with, for one use. */
function spendTicket() {
  const asking = state.asking[state.app];
  const ticket = asking?.ticket;
  if (asking) asking.ticket = null;
  return ticket;
}

function bind() {
  if (!state.busy) logIn({ by: "password", ...state.form, ticket: spendTicket() });
}

async function askForPhone() {
  if (state.busy) return;
  state.consent = { number: await phoneNumber(personId()) };
  draw();
}

function givePhone() {
  if (state.busy) return;
  phone.focus(".primary");
  logIn({ by: "phone", ticket: spendTicket() });
}

// ---- drawing ----

drawWith(() => {
  dropScan();
  const { app, attempt: evidence, reveal, busy, sessions } = state;
  if (isReady) keepPhone({ app, person: state.person, stranger: state.stranger, sessions, laptop: { ...state.laptop, calls: {} } });
  stopClock();
  diagram.draw(readSteps(evidence), reveal, busy);
  byId("tab-login").classList.toggle("running", busy);
  drawTiming(evidence, reveal);
  const view = { ...state, personId: personId(), session: sessions[app], asking: state.asking[app] };
  Object.assign(view, { verdict: verdict(), mayEnd: mayEnd() });
  for (const each of views) each.draw(view);
});

/** Says all in the language of the page. */
function speak() {
  const text = words();
  const [other, ending] = document.documentElement.lang === "en" ? ["zh-CN", ".md"] : ["en", ".zh-CN.md"];
  document.title = text.title;
  for (const element of document.querySelectorAll("[data-words]")) element.textContent = text[element.dataset.words];
  for (const file of document.querySelectorAll("[data-page]")) file.textContent = `docs/${file.dataset.page}${ending}`;
  Object.assign(byId("language"), { textContent: text.language, lang: other });
  byId("theme").setAttribute("aria-label", text.themeLabel);
  byId("theme").title = text.themeLabel;
  tabs.label(text.storyHeading, text.tabs);
  draw();
}

/** Says so while the demo's server does not answer, whatever was asked, and looks for it until it does. */
function tellReach(isThere) {
  byId("away").hidden = isThere;
  clearTimeout(nextKnock);
  if (!isThere) nextKnock = setTimeout(knock, KNOCK_AFTER);
}

function drawClock() {
  byId("clock").textContent = new Date().toLocaleTimeString("en-GB", { hour: "numeric", minute: "2-digit" });
}

async function start() {
  byId("language").addEventListener("click", () => {
    document.documentElement.lang = byId("language").lang;
    keep("language", document.documentElement.lang);
    speak();
  });
  themeSwitch();
  onReach(tellReach);
  setInterval(drawClock, 10_000);
  drawClock();
  speak();
  const { sessions = {}, laptop, ...phone } = keptPhone();
  Object.assign(state, phone, laptop?.stage === "in" && { laptop });
  draw();
  await refreshAccounts();
  state.sessions = await stillAccepted(sessions);
  await takeUp();
  if (state.laptop.token) stay(state.laptop);
  document.addEventListener("visibilitychange", () => document.hidden || useService()); // a mini program's onShow
  isReady = true;
  document.documentElement.dataset.ready = "true";
  draw();
}

start();

// The page's frame: the secret and who may use it, language and colours. `user.js` acts, `watch.js` shows.
//
// What strangers have written reaches the page as text alone: nothing here makes markup of a string.

import { keep, themeSwitch } from "./theme.js";
import { userPanel } from "./user.js";
import { watch } from "./watch.js";
import { fill, told, words } from "./words.js";

const IDLE = 15 * 60_000; // ms without a key, a click or a touch, after which the secret is forgotten
const byId = (id) => document.getElementById(id);

let session = null; // { secret, name, rights, used, gone }: the one place of the secret
let redraw = () => {};

/** Asks wxmint with the secret. Fails with a problem, whose code is `left` if nobody waits for it any more. */
async function ask(method, path) {
  const mine = session;
  if (!mine) throw { code: "left" };
  let answer, body;
  try {
    answer = await fetch(path, {
      method, headers: { Authorization: `Bearer ${mine.secret}` }, signal: mine.gone.signal,
      cache: "no-store", credentials: "omit", redirect: "error", referrerPolicy: "no-referrer",
    });
    body = JSON.parse((await answer.text()) || "null");
  } catch {
    body = { code: "unreachable" };
  }
  if (answer?.status === 401 && session === mine) leave(() => [words().left.refused]);
  if (session !== mine) throw { code: "left" };
  if (answer?.ok) return body;
  throw { ...body, isLook: method === "GET" };
}

async function enter(event) {
  event.preventDefault();
  if (session) return;
  const input = byId("secret");
  const secret = input.value.trim();
  input.value = "";
  if (!/^[!-~]+$/.test(secret)) return leave(() => [words().left.refused]);
  session = { secret, used: Date.now(), gone: new AbortController() };
  const mine = session;
  event.submitter?.setAttribute("aria-disabled", "true");
  try {
    Object.assign(mine, await ask("GET", "/whoami"));
    if (session === mine && !mine.rights.includes("read")) leave(() => told({ code: "forbidden", detail: "It lacks `read`." }));
    if (session === mine) sit();
  } catch (problem) {
    if (session === mine) leave(() => told(problem));
  }
}

/** Shows the desk to whoever has signed in. */
function sit() {
  show("desk");
  byId("leave").hidden = false;
  const panels = [userPanel({ ask, mayOperate: session.rights.includes("operate") }), watch({ ask, session })];
  redraw = () => panels.forEach((panel) => panel.draw());
  redraw();
  byId("sought").focus();
}

/** Forgets the secret and all that it has shown. `why` gives the parts of what is said of it. */
function leave(why) {
  session?.gone.abort();
  delete session?.secret; // others may hold the object for a moment
  session = null;
  show("door");
  byId("leave").hidden = true;
  byId("enter").addEventListener("submit", enter);
  if (!CSS.supports("-webkit-text-security", "disc")) byId("secret").type = "password";
  redraw = () => byId("left").replaceChildren(...(why?.() ?? []));
  redraw();
  byId("secret").focus();
}

function show(template) {
  byId("main").replaceChildren(byId(template).content.cloneNode(true));
  fill();
}

function speak() {
  fill();
  const { language, themeLabel, title } = words();
  document.title = title;
  byId("language").textContent = language;
  byId("language").lang = document.documentElement.lang === "en" ? "zh-CN" : "en";
  byId("theme").title = themeLabel;
  redraw();
}

byId("language").addEventListener("click", () => {
  document.documentElement.lang = document.documentElement.lang === "en" ? "zh-CN" : "en";
  keep("language", document.documentElement.lang);
  speak();
});
themeSwitch();
byId("leave").addEventListener("click", () => leave(() => [words().left.left]));

const isIdle = () => session && Date.now() - session.used > IDLE;
const rest = () => isIdle() && leave(() => [words().left.idle]);
// A machine that slept finds the secret old before anything is done with it.
for (const sign of ["keydown", "pointerdown", "touchstart"]) {
  addEventListener(sign, () => (isIdle() ? rest() : session && (session.used = Date.now())), { capture: true, passive: true });
}
setInterval(rest, 1000);
document.addEventListener("visibilitychange", rest);
// A browser may keep the page as it was left, and show it again to whoever goes back.
addEventListener("pagehide", () => leave());

leave();
speak();
document.documentElement.dataset.ready = "";

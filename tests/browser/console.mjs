// Drives /console in Chromium, as the person on duty and as an attacker would:
//
//     CONSOLE='{"secret":…}' node console.mjs http://127.0.0.1:9090 [screenshot-directory]
//
// tests/it/console.rs says what CONSOLE holds. AXE names a file of axe-core, whose rules each view must then keep.

import { createServer } from "node:http";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { REFUSING, axe, browser, check, expect, faults, load, open, origin, seen, shots } from "./means.mjs";

const { secret, watcher, peer, user, app, openid, unionid, other, login, codes, scan } = JSON.parse(process.env.CONSOLE);
const path = `/users/${encodeURIComponent(user)}`;
const DESK = { viewport: { width: 1280, height: 900 }, locale: "en-US", colorScheme: "light", reducedMotion: "reduce" };
const IDLE = 15 * 60_000; // ms
const EVERY = 5_000; // ms between two looks at the metrics
const LOGINS_EVERY = 15_000; // ms between two looks at the logins
const MINUTE = 60_000; // ms, after which what is shown of the last hour is read again

REFUSING.push("/whoami", "/readyz");
if (shots) mkdirSync(shots, { recursive: true });

try {
  const page = await start(DESK);
  await check("a wrong secret, one without the right, and one that is no header are refused", () => refusesSecrets(page));
  await check("a secret signs in, and is nowhere but in memory", () => signsIn(page));
  await check("the logins from before the page was opened are there, by app, and what is no mini program by its kind", () => counts(page));
  await check("the scans from before the page was opened are there, by client, and those that come", () => scans(page));
  await check("a user is found by id, openid and unionid, any other text has no buttons, and hostile text stays text", () => finds(page));
  await check("Escape and Cancel do nothing, and the focus comes back", () => takesBack(page));
  await check("two clicks block once, the phone is refused, and the page counts it", () => blocks(page));
  await check("an act that fails says why, and can be tried again", () => fails(page));
  await check("a Redis that is gone is told of beside the readiness, and a look that fails asks nobody to repeat an act", () => missesRedis(page));
  await check("an act under way is not mistaken for one of the user who was sought meanwhile", () => staysApart(page));
  await check("390 and 1280 px, both languages, both themes: nothing scrolls sideways", fits);
  await check("tokens are revoked, and the binding is dissolved", () => acts(page));
  await check("the keys have what comes next, and the doctor its checks", () => watches(page));
  await check("signed out, left, idle or refused: no secret and no user is left", () => forgets(page));
  await check("a secret that may only look cannot act", () => onlyLooks(page));
  await check("no script makes markup or code of a text", () => refusesMarkup(page));
  await check("the routes have a viewer, which needs no secret, and sends requests with one", () => showsRoutes(page));
  await page.context().close();
  await check("the page loads nothing from elsewhere, and nothing failed", () => expect(faults.join("; "), "", "faults of the pages"));
  await check("no page of another origin reads, acts, frames or opens", attacks);
  console.log("all as expected");
} catch (error) {
  console.error(`FAILED: ${error.stack}`);
  process.exitCode = 1;
} finally {
  await browser.close();
}

// ---- means ----

async function start(options) {
  const page = await open(options, "/console");
  await page.clock.install();
  await load(page, "/console");
  page.on("dialog", (dialog) => faults.push(`a dialog of a script: ${dialog.message()}`));
  return page;
}

async function enter(page, text) {
  await page.locator("#secret").fill(text);
  await page.locator("#secret").press("Enter");
}

async function signIn(page, text = secret) {
  await enter(page, text);
  await seen(page, "#standing .pill.ok, #standing .pill.warning");
  await seen(page, "#doctor .checks");
}

async function find(page, id) {
  await page.locator("#sought").fill(id);
  await page.locator("#find button").click();
}

/** Presses an act of the user and, in the dialog that names the user, its button. */
async function act(page, name, times = 1) {
  await page.locator(`[data-act=${name}]`).first().click();
  expect(await page.locator("#confirm-whom").textContent(), user, "whom the dialog names");
  await page.locator("#confirm-yes").click({ clickCount: times });
}

async function isDone(page) {
  await page.locator("dialog[open]").waitFor({ state: "detached" });
  await seen(page, "#said.good");
}

/** A login of the user's phone; its status. */
async function logIn() {
  const headers = { "Content-Type": "application/json" };
  return (await fetch(login, { method: "POST", headers, body: JSON.stringify({ appid: app, code: codes.pop() }) })).status;
}

async function stateOf() {
  return (await fetch(`${origin}${path}`, { headers: { Authorization: `Bearer ${secret}` } })).json();
}

/** All that a page holds where others could find it. */
function leftovers(page) {
  return page.evaluate(async () => {
    const stores = [localStorage, sessionStorage].map((store) => JSON.stringify(Object.entries(store)));
    const [requests, values] = [performance.getEntries().map(({ name }) => name), [...document.querySelectorAll("input")].map(({ value }) => value)];
    const databases = await indexedDB.databases();
    return JSON.stringify([stores, requests, values, databases, await caches.keys(), document.cookie, location.href, history.state, window.name, document.documentElement.outerHTML]);
  });
}

async function hasNone(page, texts) {
  const found = await leftovers(page);
  for (const text of texts) expect(found.includes(text), false, `a page with ${text}`);
  expect((await page.context().cookies()).length, 0, "cookies");
}

async function picture(page, name) {
  await page.evaluate(() => Promise.allSettled(document.getAnimations().map((animation) => animation.finished)));
  await axe(page, name);
  if (shots) await page.screenshot({ path: join(shots, `console-${name}.png`), fullPage: true });
}

// ---- the person on duty ----

async function refusesSecrets(page) {
  for (const wrong of [`${secret}x`, "密钥", peer]) {
    await enter(page, wrong);
    await seen(page, "#left:not(:empty)");
    await hasNone(page, [wrong]);
  }
  await seen(page, "#left >> text=read"); // the right that is missing
  await picture(page, "refused");
}

async function signsIn(page) {
  await signIn(page);
  expect(await page.locator("#secret").count(), 0, "fields of secrets");
  expect((await page.locator("#standing").textContent()).includes("on-call (read, operate)"), true, "whose secret it is");
  await hasNone(page, [secret]);
}

async function counts(page) {
  await seen(page, "#outcomes tr.good");
  expect(await page.locator("#outcomes tr.good td").last().textContent(), "4", "logins of the last hour, of which one let a page in");
  expect((await page.locator("#app option").last().textContent()).endsWith(" (website): 1 ok, 0 refused"), true, "the kind of the app");
  expect((await page.locator("#logins").textContent()).includes("Counted by this process since"), true, "whose logins");
  await isReadAgain(page, "/activity");
  await isNotThatOfAll(page);
}

/** Though nothing came: what was there leaves the 10 minutes and the hour. */
async function isReadAgain(page, path) {
  const read = page.waitForResponse(`${origin}${path}`);
  await page.clock.runFor(MINUTE + EVERY);
  await read;
}

/** A look at one app that fails, which is played, does not leave the numbers of all under its name. */
async function isNotThatOfAll(page) {
  const before = faults.length;
  const problem = { code: "keys_unavailable", detail: "No <b>keys</b>." };
  await page.route((asked) => asked.search.startsWith("?appid="), (route) => route.fulfill({ status: 503, json: problem }), { times: 1 });
  await page.locator("#app").selectOption({ index: 1 });
  await seen(page, "#logins .bad >> text=<b>keys</b>");
  expect(await page.locator("#outcomes").count(), 0, "tables without an answer");
  await page.clock.runFor(LOGINS_EVERY + EVERY);
  await seen(page, "#outcomes tr.good");
  await page.locator("#app").selectOption("");
  faults.length = before;
}

async function scans(page) {
  const client = page.locator("[data-client=shop-web]");
  const expectCounts = async (counts, asked) => {
    await seen(page, `[data-client=shop-web] [data-outcome=started] dd >> text="${asked}"`);
    expect((await client.locator("dd").allTextContents()).join(), counts, "what became of the requests");
  };
  await expectCounts("2,1,1,1,0,0,0", 2);
  expect(await page.locator("[data-client=tv]").count(), 0, "clients without a scan");
  expect((await page.locator("#scans").textContent()).includes("Counted by this process since"), true, "whose scans");
  const asked = await fetch(scan, { method: "POST", body: new URLSearchParams({ client_id: "shop-web" }) });
  expect(asked.status, 200, "the page's answer");
  await page.clock.runFor(EVERY);
  await expectCounts("3,1,1,1,0,0,0", 3);
}

async function finds(page) {
  for (const nobody of ["nobody", ".."]) {
    await find(page, nobody);
    await seen(page, "#unknown >> text=Nobody is known by this text");
    expect(await page.locator("#user button").count(), 0, "buttons for whoever is not known");
  }
  const before = faults.length;
  await find(page, "not an id");
  await seen(page, "#said.bad >> text=`q`");
  faults.length = before; // the refusal
  for (const sought of [openid, unionid]) {
    await find(page, "nobody");
    await seen(page, "#unknown");
    await find(page, sought);
    await seen(page, ".bindings li");
    expect(await page.locator("#shown-user").textContent(), user, `the user of ${sought}`);
  }
  await page.locator("#language").click();
  expect(/^\d{4}年\d{1,2}月\d{1,2}日 \d{2}:\d{2}:\d{2}$/.test(await page.locator("#user .facts dd").first().textContent()), true, "a date in Chinese");
  await page.locator("#language").click();
  await find(page, user);
  await seen(page, ".bindings li");
  expect(await page.locator("#shown-user").textContent(), user, "the user");
  expect(await page.locator("main img, main script").count(), 0, "elements of a hostile text");
  expect((await page.locator(".bindings").textContent()).includes(openid), true, "the openid among the bindings");
}

async function takesBack(page) {
  for (const leave of [() => page.keyboard.press("Escape"), () => page.locator("#confirm-no").click()]) {
    await page.locator("[data-act=block]").focus();
    await page.keyboard.press("Enter");
    await seen(page, "dialog[open]");
    expect(await page.evaluate(() => document.activeElement.id), "confirm-no", "what has the focus");
    await leave();
    expect(await page.locator("dialog[open]").count(), 0, "open dialogs");
    expect(await page.evaluate(() => document.activeElement.dataset.act), "block", "what has the focus again");
  }
  expect((await stateOf()).blocked, false, "blocked");
}

async function blocks(page) {
  const puts = [];
  page.on("request", (request) => request.method() === "PUT" && puts.push(request.url()));
  await page.locator("[data-act=block]").click();
  await page.locator("dialog").waitFor();
  await picture(page, "confirm");
  await page.locator("#confirm-no").click();
  await act(page, "block", 2);
  await isDone(page);
  expect(puts.join(), `${origin}${path}/block`, "what was sent");
  expect((await stateOf()).blocked, true, "blocked");
  expect(await page.locator("#blocked").textContent(), "blocked", "the pill");
  expect(`${await logIn()},${await logIn()}`, "403,403", "the phone's answers");
  // What is about to be copied or chosen stays, and the rest of the page goes on.
  await page.locator("#app").focus();
  await page.evaluate(() => getSelection().selectAllChildren(document.querySelector("#keys")));
  await page.clock.runFor(LOGINS_EVERY + EVERY);
  await seen(page, "#outcomes tr >> text=user_blocked");
  expect(await page.locator("#outcomes tbody tr").filter({ hasText: "user_blocked" }).locator("td").last().textContent(), "2", "refusals");
  expect(await page.evaluate(() => [document.activeElement.id, getSelection().isCollapsed].join()), "app,false", "focus and selection");
  await page.evaluate(() => getSelection().empty());
}

/** The answers are played, because what wxmint says without Redis is tested where Redis is. */
async function fails(page) {
  const problem = { code: "store_unavailable", detail: "Redis does not answer <b>now</b>.", request_id: "r-1" };
  const answers = [(route) => route.abort(), (route) => route.fulfill({ status: 503, contentType: "application/problem+json", json: problem })];
  const before = faults.length;
  await page.route((asked) => asked.pathname.endsWith("/block"), (route) => answers.shift()(route), { times: 2 });
  await act(page, "unblock");
  await seen(page, "#confirm-failed:not([hidden]) >> text=port-forward");
  await page.locator("#confirm-yes").click();
  await seen(page, "#confirm-failed >> text=<b>now</b>");
  expect((await stateOf()).blocked, true, "blocked still");
  await picture(page, "failed");
  faults.length = before; // those that were played
  await page.locator("#confirm-yes").click();
  await isDone(page);
  expect((await stateOf()).blocked, false, "blocked");
}

/** A process stays ready without Redis, and its /readyz warns. */
async function missesRedis(page) {
  const before = faults.length;
  const readyz = "ok\nwarning: logins fail: Redis does not answer\nwarning: another one\n";
  await page.route((asked) => asked.pathname === "/readyz", (route) => route.fulfill({ body: readyz }), { times: 1 });
  await page.clock.runFor(EVERY + 1);
  await seen(page, "#standing .pill.fault >> text=/^ready, but logins fail: Redis does not answer$/");
  expect(await page.locator("#standing .why").textContent(), "another one", "the other warning");
  const problem = { code: "store_unavailable", detail: "Redis does not answer.", request_id: "r-2" };
  const refuse = (route) => route.fulfill({ status: 503, contentType: "application/problem+json", json: problem });
  await page.route((asked) => asked.pathname === "/find", refuse, { times: 1 });
  await find(page, user);
  await seen(page, "#said.bad >> text=nothing could be looked up");
  expect((await page.locator("#said").textContent()).includes("may be repeated"), false, "advice for acts, at a look");
  faults.length = before; // those that were played
  await page.clock.runFor(EVERY + 1);
  await seen(page, "#standing .pill.ok, #standing .pill.warning");
  await find(page, user);
  await seen(page, "#shown-user");
}

/** Some browsers close the dialog at a second Escape, whatever is under way: this is played. */
async function staysApart(page) {
  let goOn;
  const held = new Promise((resolve) => (goOn = resolve));
  await page.route((asked) => asked.pathname.endsWith("/revoke"), (route) => held.then(() => route.continue()), { times: 1 });
  await act(page, "end");
  await page.evaluate(() => document.getElementById("confirm").close());
  await find(page, other);
  await seen(page, `#shown-user >> text=${other}`);
  await page.locator("[data-act=block]").click();
  expect(await page.locator("#confirm-whom").textContent(), user, "whose act is under way");
  await page.locator("#confirm-yes").click({ force: true });
  goOn();
  await isDone(page);
  expect(await page.locator("#shown-user").textContent(), other, "who was sought last");
  expect((await page.locator("#said").textContent()).includes(user), true, "whose act is done");
  expect((await stateOf()).revoked_before > 0, true, "ended");
  await find(page, user);
  await seen(page, ".bindings li");
}

async function acts(page) {
  await act(page, "end");
  await isDone(page);
  expect((await stateOf()).revoked_before > 0, true, "ended");
  await act(page, "dissolve");
  await isDone(page);
  expect((await stateOf()).wechat.length, 0, "bindings");
  expect(await page.evaluate(() => document.activeElement.id), "said", "what has the focus");
}

async function watches(page) {
  const published = page.locator(".keys li[data-state=published]");
  // The process reads its key file every few seconds.
  for (let look = 0; look < 40 && !(await published.count()); look += 1) {
    await page.clock.runFor(EVERY + 1);
    await new Promise((resolve) => setTimeout(resolve, 250));
  }
  expect(await page.locator(".keys li").count(), 2, "keys");
  expect(/In 2\d min.*this key signs.*In .*leaves the JWKS/s.test(await page.locator("#next").textContent()), true, "what comes next");
  await seen(page, "[data-check='redis.reach'][data-status=ok]");
  const [answer] = await Promise.all([page.waitForResponse(`${origin}/doctor`), page.locator("#examine").click()]);
  expect((await answer.json()).checks.length > 15, true, "checks");
  const found = page.locator("[data-check=settings] .found");
  for (const said of ["齐全", "complete"]) {
    await page.locator("#language").click();
    expect(await found.textContent(), said, "a finding in the language of the page");
  }
}

async function forgets(page) {
  const isGone = async () => {
    await seen(page, "#secret");
    await hasNone(page, [secret, user, openid]);
  };
  await find(page, user);
  await seen(page, "#shown-user");
  await page.locator("#leave").click();
  await isGone();
  await signIn(page);
  await find(page, user);
  await seen(page, "#shown-user");
  await page.clock.fastForward(IDLE + 2_000);
  await isGone();
  expect((await page.locator("#left").textContent()).includes("15 minutes"), true, "why");
  await signIn(page);
  await page.goto("about:blank");
  await page.goBack();
  await isGone();
  await signIn(page);
  await page.reload();
  await isGone();
  await signIn(page);
  const before = faults.length;
  await page.route((asked) => asked.pathname.startsWith("/users/"), (route) => route.fulfill({ status: 401, json: { code: "invalid_token" } }), { times: 1 });
  await find(page, user);
  await isGone();
  faults.length = before;
}

async function onlyLooks(page) {
  await signIn(page, watcher);
  await find(page, user);
  await seen(page, "[data-act=block]:disabled");
  await page.locator("#leave").click();
}

async function refusesMarkup(page) {
  const refused = (run) => page.evaluate(run).then(() => false, (error) => /TrustedHTML|TrustedScript|disallowed/.test(error.message));
  const before = faults.length;
  expect(await refused(() => (document.body.innerHTML = "<p>x")), true, "innerHTML, refused");
  expect(await refused(() => document.createElement("script").setAttribute("src", "/metrics") ?? (document.createElement("script").text = "1")), true, "a script, refused");
  expect(await refused(() => trustedTypes.createPolicy("x", {}).createHTML("")), true, "a policy, refused");
  faults.length = before;
}

async function showsRoutes(page) {
  const [viewer] = await Promise.all([page.context().waitForEvent("page"), page.locator("#api").click()]);
  const whoami = viewer.locator(".opblock", { hasText: "/whoami" });
  await whoami.locator(".opblock-summary-control").click();
  await viewer.locator(".btn.authorize").first().click();
  expect(/Secret:/.test(await viewer.locator(".modal-ux").textContent()), true, "what is to be pasted");
  await viewer.locator(".modal-ux input").fill(watcher);
  await viewer.locator(".modal-ux .btn.authorize").click();
  await viewer.locator(".modal-ux .btn-done").click();
  await whoami.locator(".try-out__btn").click();
  const [answer] = await Promise.all([viewer.waitForResponse(`${origin}/whoami`), whoami.locator(".execute").click()]);
  expect((await answer.json()).name, "watcher", "whose secret it is");
  await viewer.reload();
  await whoami.waitFor();
  await hasNone(viewer, [watcher]);
  if (shots) await viewer.screenshot({ path: join(shots, "console-viewer.png") });
  await viewer.close();
}

async function fits() {
  for (const width of [1280, 390]) {
    const page = await start({ ...DESK, viewport: { width, height: 860 }, locale: width === 390 ? "zh-CN" : "en-US" });
    await signIn(page);
    await find(page, user);
    await seen(page, ".bindings li");
    expect(await logIn(), 200, "the phone's answer");
    await page.clock.runFor(LOGINS_EVERY + EVERY);
    await seen(page, "#outcomes tr.good");
    for (const [language, theme] of [0, 1, 2, 3].map((n) => [n & 1, n & 2])) {
      if (language) await page.locator("#language").click();
      if (language === 0 && theme) await page.locator("#theme").click();
      await page.locator(".clients h3").first().evaluate((name) => (name.textContent = "w".repeat(64)));
      const name = `${width}-${await page.evaluate(() => document.documentElement.lang)}-${theme ? "dark" : "light"}`;
      expect(await page.evaluate(() => document.documentElement.scrollWidth) <= width, true, `${name} without scrolling sideways`);
      await picture(page, name);
    }
    await page.context().close();
  }
}

// ---- the attacker ----

/** A page of another origin, whose owner even knows a secret; the person on duty is signed in beside it. */
async function attacks() {
  const evil = createServer((_, answer) => answer.setHeader("content-type", "text/html").end("<!doctype html><title>evil</title><body>"));
  await new Promise((resolve) => evil.listen(0, "127.0.0.1", resolve));
  const context = await browser.newContext(DESK);
  try {
    const desk = await context.newPage();
    await load(desk, "/console");
    await signIn(desk);
    const page = await context.newPage();
    await page.goto(`http://127.0.0.1:${evil.address().port}/`);
    const said = await page.evaluate(tries, { origin, path, secret });
    expect(JSON.stringify(said), JSON.stringify({ asked: "blocked", read: "blocked", simple: "opaque" }), "what the attacker gets");
    expect(page.frames()[1].url(), "chrome-error://chromewebdata/", "what is framed");
    const popup = context.waitForEvent("page");
    await page.evaluate((url) => void (globalThis.victim = window.open(url)), `${origin}/console`);
    await seen(await popup, "html[data-ready]");
    expect(await (await popup).evaluate(() => window.opener), null, "the opener of the console");
    expect(await page.evaluate(() => globalThis.victim.closed), true, "a window that its opener has lost");
    const { blocked, revoked_before: ended } = await stateOf();
    const before = JSON.stringify([blocked, ended]);
    await page.evaluate(([origin, path]) => {
      const form = document.createElement("form");
      Object.assign(form, { method: "post", action: `${origin}${path}/revoke` });
      document.body.append(form);
      form.submit();
    }, [origin, path]);
    await page.waitForURL(`${origin}/**`);
    expect((await page.textContent("body")).includes("invalid_token"), true, "a form, refused");
    const after = await stateOf();
    expect(JSON.stringify([after.blocked, after.revoked_before]), before, "what is kept");
  } finally {
    await context.close();
    evil.close();
  }
}

async function tries({ origin, path, secret }) {
  const headers = { Authorization: `Bearer ${secret}` };
  const of = (asking) => asking.then((answer) => answer.type, () => "blocked");
  const asked = await of(fetch(`${origin}${path}/block`, { method: "PUT", headers }));
  const read = await of(fetch(`${origin}/metrics`));
  const simple = await of(fetch(`${origin}${path}/revoke`, { method: "POST", mode: "no-cors", credentials: "include" }));
  const frame = document.createElement("iframe");
  frame.src = `${origin}/console`;
  const loaded = new Promise((resolve) => (frame.onload = resolve));
  document.body.append(frame);
  await loaded;
  return { asked, read, simple };
}

// Drives the page of `wxmint demo` in Chromium, as a person would:
//
//     node demo.mjs http://127.0.0.1:8080 [screenshot-directory [story]]
//
// STORIES names the stories; without one, all are told.
// One line per check. Stops at the first failure, says what was expected, and exits 1.
// CHROMIUM names another browser than the one of Debian's chromium-headless-shell, which takes half of the time.

import { mkdirSync } from "node:fs";
import { join } from "node:path";
import {
  DESK, REFUSING, address, atRest, browser, changePerson, check, expect, faults, fits, isAccepted, load, loggedIn, only, open,
  origin, outcome, picture, press, seen, show, shots, shown, states, tokenInView,
} from "./means.mjs";
import { views } from "./views.mjs";

const LATEST_REFUSAL = 10; // s from the end of a token to a refusal by a peer that reads the ends each 5 s

const STORIES = { token, bindings, ends, scan, views };

const stories = only ? [STORIES[only]] : Object.values(STORIES);
if (!address || stories.includes(undefined)) {
  console.error(`usage: node demo.mjs http://127.0.0.1:PORT [screenshot-directory [${Object.keys(STORIES).join("|")}]]`);
  process.exit(64);
}
if (shots) mkdirSync(shots, { recursive: true });

try {
  for (const story of stories) await story();
  await check("no console error, no failed request, no other origin", () => expect(faults.join("; "), "", "faults of the pages"));
  console.log("all as expected");
} catch (error) {
  console.error(`FAILED: ${error.message}`);
  process.exitCode = 1;
} finally {
  await browser.close();
}

/** What a login shows, and a token that is spoiled. The lights are in motion at first. */
async function token() {
  const page = await open({ viewport: { width: 1280, height: 860 }, locale: "en-US", colorScheme: "light" });
  await check("one click logs a person in, the token is in view without scrolling, and all seven steps are shown", () => logsIn(page));
  await check("tabs by the keyboard, and by a link", () => opensTabs(page));
  await check("a step opens to the real request and answer, secrets masked", () => opensStep(page));
  await check("the token is verified in the browser", () => verifies(page));
  await check("openid and session_key are searched for in the token and not found", () => holdsNoIdentifiers(page));
  await picture(page, "logged-in");
  for (const part of ["header", "claims", "signature"]) {
    await check(`a spoiled character of the ${part} is refused, and accepted when restored`, () => refusesSpoiled(page, part));
  }
  await check("each character of the token in turn, and each spelling of a part's last one, is refused", () => refusesEverySpelling(page));
  await check("the words of both languages have the same names, and no long sentence stands twice", () => saysNothingTwice(page));
  await check("the keyboard alone spoils and restores", () => spoilsByKeyboard(page));
  await page.emulateMedia({ reducedMotion: "reduce" });
  await check("the same person keeps the same user id", () => keepsUserId(page));
  await check("Chinese and English, kept over a reload", () => switchesLanguage(page));
  await check("light and dark, kept over a reload", () => switchesTheme(page));
  await check("pages of docs are named by their files in the language of the page", () => namesPages(page));
  await page.context().close();
  await check("the viewer of the API logs a person in with what it fills in", executesLogin);
  await check("the viewer fits a phone, and leads back to the page", fitsApi);
}

/** Narrow screens, while everybody is unbound; then accounts, phone numbers, two mini programs. */
async function bindings() {
  await check("320 px wide, in both languages, nothing scrolls sideways", fitsNarrowScreens);
  const page = await open({ ...DESK, locale: "zh-CN" });
  await check("who is bound to nobody is asked who it is, and WeChat's part has been done", () => isAsked(page));
  await check("a wrong password is refused, and its ticket is spent", () => guessesWrong(page));
  await check("the right password binds, by a new code", () => bindsByCode(page));
  await check("from then on WeChat alone is enough", () => logsInSilently(page));
  await check("an unbinding whose token is over leads to a login", () => logsInToUnbind(page));
  await check("the same person in the other mini program is the same user, and nobody is asked", () => comesNextDoor(page));
  await check("an unbound person is asked again, though the other mini program knows them", () => unbinds(page));
  await check("the right password binds by the ticket, and WeChat is not asked again", () => bindsByTicket(page));
  await check("somebody else's account is refused, and keeps its binding", () => takesNothing(page));
  await check("a phone number that is not given is not asked for", () => keepsNumber(page));
  await check("a phone number makes a user, who is found by it again", () => logsInByPhone(page));
  await check("a phone number finds the account that has it", () => findsAccountByPhone(page));
  await check("no password is shown among the steps", () => expect(shown.filter((text) => /jasmine|oolong|puer/.test(text)).length, 0, "steps with a password"));
  await page.context().close();
}

/** Each way to end a token, and how long a service goes on accepting it that verifies by itself. */
async function ends() {
  const page = await open({ ...DESK, viewport: { width: 1280, height: 720 }, locale: "en-US" });
  await check("the services serve the user of the token", () => isServed(page));
  await check("they refuse the token within seconds after its logout, and the phone has no token", () => logsOut(page));
  await check("after a login on a second phone, by the keyboard alone, the first phone logs in again without a word", () => logsInElsewhere(page));
  await check("a phone whose token was ended elsewhere notices when it is looked at, and when it asks", () => noticesEnd(page));
  await check("a banned user's token is refused, and so is the login that the phone then tries", () => isBanned(page));
  await check("a page that is loaded again can lift the ban", () => liftsBan(page));
  await page.context().close();
  await check("1280×720 and 390×844, in both languages: logged out everywhere, and nothing scrolls sideways", fitsWithResults);
}

/** A website on a laptop: the phone lets it in, and what ends the user throws it out. */
async function scan() {
  REFUSING.push("/token");
  const page = await open({ ...DESK, viewport: { width: 1280, height: 720 }, locale: "en-US" }, "/#scan");
  await check("without a code there is nothing to scan", () => findsNoCode(page));
  await check("a phone that scans the laptop's code logs in, and says what asks", () => scansCode(page));
  await check("a wrong number spoils the request", () => choosesWrong(page));
  await check("what the phone does not allow is not logged in", () => allowsNothing(page));
  await check("the right number logs the laptop in as the same user, and a reload keeps it logged in", () => letsIn(page));
  await check("a ban throws the laptop out, and is lifted there", () => isThrownOut(page, "ban"));
  await check("a phone in the other mini program opens the right one, and a logout everywhere throws the laptop out", async () => {
    await page.getByTestId("app-bakery").check();
    await lets(page);
    await isThrownOut(page, "everywhere");
  });
  await check("what was scanned is not asked of somebody who has logged out", () => forgetsScan(page));
  await check("320 to 1280 px, in both languages and themes, the laptop and the phone's question fit", fitsLaptop);
  await check("an unbinding throws the laptop out", async () => {
    await lets(page);
    await press(page, "unbind");
    await isOut(page, "unbind WeChat");
  });
  await page.context().close();
}

// ---- the checks ----

async function logsIn(page) {
  expect(await page.getByTestId("standing-lin").textContent(), "bound", "where Lin stands");
  await press(page, "login");
  for (let step = 1; step <= 7; step += 1) await seen(page, `[data-testid=step-${step}][data-state=done]`);
  await seen(page, "[data-testid=member-user-id]");
  expect(/POST \/login/.test(await page.getByTestId("timing").textContent()), true, "the measured time under the diagram");
  await tokenInView(page, 0);
}

async function opensTabs(page) {
  await page.locator("#tab-login").focus();
  for (const [key, name] of [["ArrowRight", "token"], ["End", "scan"], ["ArrowRight", "login"], ["ArrowLeft", "scan"], ["Home", "login"]]) {
    await page.keyboard.press(key);
    await seen(page, `#tab-${name}[aria-selected=true]:focus`);
    expect(await page.locator("[id^=panel-]:visible").evaluateAll((panels) => panels.map((panel) => panel.id).join()), `panel-${name}`, "the panels shown");
    expect(new URL(page.url()).hash, `#${name}`, "the hash");
  }
  await page.evaluate(() => (location.hash = "#%"));
  await page.evaluate(() => (location.hash = "#services"));
  await seen(page, "#panel-services[role=tabpanel]:not([hidden])");
  const other = await open({ ...DESK, locale: "en-US" }, "/#scan");
  await seen(other, "#tab-scan[aria-selected=true]");
  expect(await other.evaluate(() => scrollY), 0, "how far a link to a tab scrolls");
  await other.context().close();
}

async function opensStep(page) {
  await (await show(page.locator("[data-testid=step-4] summary"))).click();
  const text = await page.locator("[data-testid=step-4] .step-body").textContent();
  expect(text.includes("GET /sns/jscode2session?"), true, "code2Session in step 4");
  expect(/secret=•+/.test(text) && /"session_key":\s*"•+"/.test(text), true, "masked secret and session_key in step 4");
  await (await show(page.locator("[data-testid=step-6] summary"))).click();
  const answer = await page.locator("[data-testid=step-6] .step-body").textContent();
  expect(answer.includes('"access_token"') && answer.includes("x-request-id"), true, "the answer and its request id in step 6");
}

async function verifies(page) {
  await seen(page, "[data-testid=verdict][data-verdict=accepted]");
  for (const id of ["form", "typ", "kid", "alg", "signature", "iss", "aud", "exp", "ended"]) {
    expect(await page.getByTestId(`check-${id}`).getAttribute("data-state"), "passed", `check ${id}`);
  }
  for (const claim of ["iss", "sub", "aud", "client_id", "iat", "exp", "jti"]) {
    expect(await page.locator("[data-testid=part-claims] dt", { hasText: new RegExp(`^${claim}$`) }).count(), 1, `claim ${claim}`);
  }
}

async function holdsNoIdentifiers(page) {
  const searched = page.getByTestId("absent").locator("li");
  for (const name of ["openid", "session_key"]) {
    const line = await searched.filter({ hasText: name }).textContent();
    expect(/not found/.test(line), true, `"${name}" searched for and not found`);
  }
}

async function refusesSpoiled(page, part) {
  await press(page, `spoil-${part}`);
  await seen(page, "[data-testid=verdict][data-verdict=refused]");
  if (part === "claims") expect(await page.getByTestId("verdict").getAttribute("data-by"), "signature", "the failed check");
  if (part === "claims") await picture(page, "spoiled");
  await press(page, "restore");
  await seen(page, "[data-testid=verdict][data-verdict=accepted]");
}

/**
 * The page's own verifier against every single change: the next character of the alphabet at each place, and at the
 * last place of each part all 63 others, because unused bits hide there, which a lax decoder ignores.
 */
async function refusesEverySpelling(page) {
  const accepted = await page.evaluate(async () => {
    const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    const { verify } = await import("/demo/verify.js");
    const read = async (path) => (await fetch(path)).json();
    const { issuer } = await read("/.well-known/openid-configuration");
    const trust = { issuer, audience: issuer, jwks: await read("/.well-known/jwks.json") };
    const token = document.querySelector("[data-testid=token]").textContent;
    const passes = async (text) => (await verify(text, trust, Math.floor(Date.now() / 1000))).every((check) => check.ok);
    if (!(await passes(token))) return ["the token itself is refused"];
    const wrong = [];
    for (let at = 0; at < token.length; at += 1) {
      const isLast = at + 1 === token.length || token[at + 1] === ".";
      const others = [...alphabet].filter((character) => character !== token[at]);
      for (const other of isLast ? others : [others[at % others.length]]) {
        if (await passes(token.slice(0, at) + other + token.slice(at + 1))) wrong.push(`${at}: ${other}`);
      }
    }
    return wrong;
  });
  expect(accepted.join(", "), "", "the spoiled tokens that were accepted");
}

async function saysNothingTwice(page) {
  const found = await page.evaluate(async () => {
    const all = (words, name) =>
      words && typeof words === "object" ? Object.entries(words).flatMap(([key, value]) => all(value, `${name}.${key}`)) : [[name, words]];
    const [en, zh] = [all((await import("/demo/words-en.js")).en, ""), all((await import("/demo/words-zh.js")).zh, "")];
    const names = (list) => list.map(([name]) => name).join();
    const sentences = [...en, ...zh].map(([, text]) => text).filter((text) => typeof text === "string" && text.length > 70);
    return [names(en) === names(zh), ...sentences.filter((text, n) => sentences.indexOf(text) !== n)].join();
  });
  expect(found, "true", "the same names, and the sentences that stand twice");
}

async function spoilsByKeyboard(page) {
  const token = page.getByTestId("token");
  await token.press("End");
  await token.press("Enter");
  await seen(page, "[data-testid=verdict][data-verdict=refused]");
  expect(await page.getByTestId("spoiled-count").textContent(), "1 character spoiled", "the count");
  await token.press("Enter");
  await seen(page, "[data-testid=verdict][data-verdict=accepted]");
}

async function keepsUserId(page) {
  const before = await page.getByTestId("member-user-id").textContent();
  await press(page, "log-in-again");
  await atRest(page);
  await seen(page, "[data-testid=member-badge][data-new=false]");
  expect(await page.getByTestId("member-user-id").textContent(), before, "the user id");
}

async function meetsSomeoneNew(page) {
  await press(page, "leave");
  await page.getByTestId("person-new").check();
  await press(page, "login");
  await seen(page, "[data-testid=ask]");
  await atRest(page);
  await press(page, "bind-by-phone");
  await press(page, "allow");
  await seen(page, "[data-testid=member-badge][data-new=true]");
  await atRest(page);
  const userId = await page.getByTestId("member-user-id").textContent();
  await press(page, "log-in-again");
  await seen(page, "[data-testid=member-badge][data-new=false]");
  await atRest(page);
  expect(await page.getByTestId("member-user-id").textContent(), userId, "the user id");
}

async function switchesLanguage(page) {
  expect(await page.locator("html").getAttribute("lang"), "en", "the language by the browser's setting");
  await press(page, "language");
  expect(await page.locator("html").getAttribute("lang"), "zh-CN", "the language after the switch");
  expect(await page.locator("h1").textContent(), "轻点一下，七步换一个 token", "the headline");
  expect(/[a-z]/i.test(await page.locator("#verify-heading").textContent()), false, "the token's headings in Chinese");
  await load(page);
  expect(await page.locator("html").getAttribute("lang"), "zh-CN", "the language after a reload");
  await press(page, "language");
  expect(await page.locator("html").getAttribute("lang"), "en", "the language switched back");
}

async function switchesTheme(page) {
  const ground = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const light = await ground();
  await press(page, "theme");
  const dark = await ground();
  expect(dark === light, false, "the same ground in light and dark");
  await load(page);
  expect(await ground(), dark, "the ground after a reload");
  expect(await page.getByTestId("theme").getAttribute("aria-pressed"), "true", "the switch's state");
  await press(page, "theme");
  expect(await ground(), light, "the ground switched back");
}

async function namesPages(page) {
  for (const language of ["en", "zh-CN"]) {
    expect(await page.locator("html").getAttribute("lang"), language, "the language");
    const files = await page.locator("[data-page]").allTextContents();
    const ending = language === "en" ? ".md" : ".zh-CN.md";
    expect(files.join(), ["api", "revocation", "sidecar", "scan-login"].map((name) => `docs/${name}${ending}`).join(), "pages to read on");
    await press(page, "language");
  }
}

/** Whatever the viewer fills in, unchanged, and again, though the code is spent by then. */
async function executesLogin() {
  const page = await open({ viewport: { width: 1280, height: 1400 }, locale: "en-US", colorScheme: "light" });
  await page.goto(`${origin}/docs/`);
  const login = page.locator(".opblock").first();
  await login.locator(".opblock-summary").click();
  await login.locator(".try-out__btn").click();
  for (const time of ["first", "second", "third"]) {
    const [answer] = await Promise.all([page.waitForResponse(`${origin}/login`), login.locator(".execute").click()]);
    expect(answer.status(), 200, `the answer to the ${time} login`);
  }
  await login.locator(".live-responses-table .response-col_status", { hasText: "200" }).waitFor();
  expect(await login.locator(".response[data-code^='4'] pre:visible").count(), 0, "examples of errors, which are all alike");
  expect((await login.locator(".response[data-code='403']").textContent()).includes("binding_required"), true, "the codes of a status");
  if (shots) await page.screenshot({ path: join(shots, "viewer.png") });
  // The login has filled in its token.
  const session = page.locator(".opblock", { hasText: "/wechat/session" }).filter({ hasText: "GET" }).first();
  await session.locator(".opblock-summary-control").click();
  await session.locator(".try-out__btn").click();
  const [answer] = await Promise.all([page.waitForResponse(`${origin}/wechat/session`), session.locator(".execute").click()]);
  expect(answer.status(), 200, "the answer to a request with the token");
  await page.locator(".btn.authorize").first().click();
  expect(/access_token.*POST \/login/.test(await page.locator(".modal-ux").textContent()), true, "what the dialog asks for, and where it comes from");
  await page.context().close();
}

async function fitsApi() {
  const page = await open({ viewport: { width: 390, height: 844 }, locale: "zh-CN", colorScheme: "dark" });
  await press(page, "docs");
  await page.locator(".opblock").first().waitFor();
  const width = await page.evaluate(() => document.documentElement.scrollWidth);
  expect(width <= 390, true, `a page of at most 390 px, not ${width} px`);
  expect(await page.locator("html").getAttribute("lang"), "en", "the language of the API");
  if (shots) await page.screenshot({ path: join(shots, "viewer-390.png") });
  await page.locator("#back").click();
  await seen(page, "html[data-ready][lang=zh-CN]");
  await page.context().close();
}

async function fitsNarrowScreens() {
  for (const [locale, colorScheme] of [["zh-CN", "dark"], ["en-US", "light"]]) {
    const page = await open({ viewport: { width: 320, height: 640 }, locale, colorScheme, reducedMotion: "reduce" });
    await press(page, "login");
    await seen(page, "[data-testid=verdict][data-verdict=accepted]");
    for (const summary of await page.locator(".step summary").all()) await (await show(summary)).click();
    await atRest(page);
    await fits(page, 320);
    await press(page, "leave");
    await page.getByTestId("person-wang").check();
    await press(page, "login");
    await seen(page, "[data-testid=ask]");
    await atRest(page);
    await fits(page, 320);
    await picture(page, `narrow-${locale}`);
    await page.context().close();
  }
}

async function isAsked(page) {
  expect(await page.getByTestId("standing-chen").textContent(), "有账号", "where Chen stands");
  await page.getByTestId("person-chen").check();
  await press(page, "login");
  await outcome(page, "binding_required");
  await states(page, { code: "done", claim: "done", session: "done", record: "done", answer: "failed", verify: "skipped" });
  expect(await page.evaluate(() => document.activeElement.dataset.testid), "ask", "the focus");
  expect(await page.getByLabel("账号", { exact: true }).inputValue(), "chen", "the account, filled in");
  await (await show(page.locator("[data-step=answer] summary"))).click();
  const problem = await page.locator("[data-step=answer] pre").textContent();
  expect(/^403\n/.test(problem) && /"bind_ticket":\s*"[^"]{20,}"/.test(problem), true, "a 403 with a ticket");
  await fits(page, 1280);
  await picture(page, "asked");
}

async function guessesWrong(page) {
  await press(page, "fill-wrong");
  await press(page, "bind");
  await outcome(page, "invalid_credentials");
  await states(page, { post: "done", ticket: "done", account: "failed", bind: "skipped", answer: "failed" });
  expect(await page.getByTestId("retry").count(), 0, "buttons that repeat a wrong password");
  await press(page, "close-sheet");
}

async function bindsByCode(page) {
  await page.getByLabel("密码", { exact: true }).fill("oolong");
  await page.getByLabel("密码", { exact: true }).press("Enter");
  await loggedIn(page, { how: "password", userId: "user-chen", isNew: false });
  await states(page, { code: "done", session: "done", record: "done", account: "done", bind: "done", answer: "done", verify: "done" });
  await linked(page, "tea", "user-chen", 1);
  await picture(page, "bound");
}

async function logsInSilently(page) {
  await press(page, "log-in-again");
  await loggedIn(page, { how: "silent", userId: "user-chen", isNew: false });
  expect(await page.locator("[data-step=account]").count(), 0, "steps that ask the account service");
}

async function logsInToUnbind(page) {
  const token = await page.getByTestId("token").textContent();
  const ended = await page.request.post(`${origin}/logout`, { headers: { authorization: `Bearer ${token}` } });
  expect(ended.status(), 204, "the status of a logout behind the page's back");
  await press(page, "unbind");
  await outcome(page, "invalid_token");
  await states(page, { unbind: "done", unbound: "failed" });
  await press(page, "retry");
  await loggedIn(page, { how: "silent", userId: "user-chen", isNew: false });
}

async function comesNextDoor(page) {
  await page.getByTestId("app-bakery").check();
  expect(await page.getByTestId("standing-chen").textContent(), "隔壁已绑定", "where Chen stands");
  await press(page, "login");
  await loggedIn(page, { how: "unionid", userId: "user-chen", isNew: false });
  await linked(page, "bakery", "user-chen", 1);
  const claims = await page.getByTestId("part-claims").textContent();
  expect(claims.includes("wxc0ffee0000000002") && claims.includes("user-chen"), true, "the other AppID and the same user in the token");
  await fits(page, 1280);
  await picture(page, "next-door");
}

async function unbinds(page) {
  await page.getByTestId("app-tea").check();
  await seen(page, "[data-testid=member-user-id]");
  await press(page, "unbind");
  await states(page, { unbind: "done", dissolve: "done", unbound: "done" });
  await seen(page, "[data-testid=login]");
  await linked(page, "tea", "user-chen", 0);
  await linked(page, "bakery", "user-chen", 1);
  await atRest(page);
  await press(page, "login");
  await outcome(page, "binding_required");
}

async function bindsByTicket(page) {
  await press(page, "fill-own");
  await press(page, "bind");
  await loggedIn(page, { how: "password", userId: "user-chen", isNew: false });
  await states(page, { post: "done", ticket: "done", account: "done", bind: "done", answer: "done", verify: "done" });
  expect(await page.locator("[data-step=session]").count(), 0, "steps that ask WeChat");
  const sent = await page.locator("[data-step=post] pre").textContent();
  expect(/"bind_ticket"/.test(sent) && !/"code"/.test(sent), true, "a ticket in place of a code");
}

async function takesNothing(page) {
  await changePerson(page, "wang");
  await press(page, "login");
  await outcome(page, "binding_required");
  await press(page, "fill-others");
  await press(page, "bind");
  await outcome(page, "already_bound");
  await states(page, { account: "done", bind: "failed", answer: "failed" });
  await picture(page, "already-bound");
  await press(page, "close-sheet");
  for (const app of ["tea", "bakery"]) await linked(page, app, "user-zhou", 1);
}

async function keepsNumber(page) {
  await changePerson(page, "wang");
  expect(await page.getByTestId("standing-wang").textContent(), "没有账号", "where Wang stands");
  await press(page, "login-by-phone");
  await seen(page, "[data-testid=consent]");
  expect(/••••/.test(await page.getByTestId("sheet").textContent()), true, "a masked number in the question");
  await picture(page, "consent");
  const before = await page.getByTestId("timing").textContent();
  await press(page, "deny");
  expect(await page.getByTestId("sheet").isVisible(), false, "the question");
  expect(await page.getByTestId("timing").textContent(), before, "the latest login");
}

async function logsInByPhone(page) {
  await press(page, "login-by-phone");
  await press(page, "allow");
  const userId = await loggedIn(page, { how: "phone", isNew: true });
  const done = ["phoneCode", "code", "post", "claim", "session", "record", "number", "account", "bind", "answer", "verify"];
  await states(page, Object.fromEntries(done.map((step) => [step, "done"])));
  await linked(page, "tea", userId, 1);
  const { phone: number } = await accountOf(page, userId);
  const sent = await page.locator("[data-step=post] pre").textContent();
  expect(sent.includes("phone_code") && !sent.includes(number), true, "a phone_code and no number from the mini program");
  expect((await page.locator("[data-step=number] .step-body").textContent()).includes(number), true, "the number from WeChat");
  await picture(page, "by-phone");
  await press(page, "unbind");
  await seen(page, "[data-testid=login]");
  await atRest(page);
  await press(page, "login-by-phone");
  await press(page, "allow");
  await loggedIn(page, { how: "phone", userId, isNew: false });
}

async function findsAccountByPhone(page) {
  await changePerson(page, "lin");
  await page.getByTestId("app-bakery").check();
  await press(page, "login-by-phone");
  await press(page, "allow");
  await loggedIn(page, { how: "phone", userId: "user-lin", isNew: false });
}

async function isServed(page) {
  expect(await page.getByTestId("end-logout").getAttribute("aria-disabled"), "true", "a logout without a token, disabled");
  await press(page, "login");
  await isAccepted(page);
  expect(/user-lin/.test(await page.getByTestId("answer-service").textContent()), true, "the user id in the service's answer");
  expect(/x-user-id: user-lin/.test(await page.getByTestId("answer-sidecar").textContent()), true, "X-User-Id in the sidecar's");
  expect(await page.getByTestId("end-clock").textContent(), "", "a time before anything was revoked");
}

async function logsOut(page) {
  await press(page, "end-logout");
  await seen(page, "[data-testid=end-clock]:not([data-state=idle], [data-state=asking])"); // the services may have read it just now
  await seen(page, "[data-testid=login]");
  await picture(page, "ends-running");
  await isRefused(page, "log out");
  await press(page, "ask-services");
  await seen(page, "[data-testid=verdict][data-verdict=refused][data-by=ended]");
  expect(/it was revoked before it expired/.test(await page.getByTestId("answer-service").textContent()), true, "the reason");
  expect(/www-authenticate: Bearer error="invalid_token"/.test(await page.getByTestId("answer-sidecar").textContent()), true, "a challenge");
  expect(await page.getByTestId("end-logout").getAttribute("aria-disabled"), "true", "a second logout, disabled");
}

async function logsInElsewhere(page) {
  await press(page, "login");
  await isAccepted(page);
  await (await show(page.getByTestId("end-everywhere"))).focus();
  await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  await isRefused(page, "log in on a second phone");
  expect(/the second phone’s token: 200/.test(await page.getByTestId("end-result").textContent()), true, "the second phone's token accepted");
  await loggedIn(page, { how: "renewed", userId: "user-lin", isNew: false });
}

async function noticesEnd(page) {
  const looks = () => page.evaluate(() => document.dispatchEvent(new Event("visibilitychange")));
  for (const look of [looks, () => press(page, "orders")]) {
    await press(page, "log-in-again");
    await loggedIn(page, { how: "silent", userId: "user-lin", isNew: false });
    const token = await page.getByTestId("token").textContent();
    const headers = { authorization: `Bearer ${token}` };
    expect((await page.request.post(`${origin}/logout`, { headers })).status(), 204, "the status of a logout elsewhere");
    // The service reads the ends every 5 s.
    while ((await page.request.get(`${origin}/demo/orders`, { headers })).status() === 200) await page.waitForTimeout(250);
    await look();
    await loggedIn(page, { how: "renewed", userId: "user-lin", isNew: false });
    expect((await page.getByTestId("token").textContent()) === token, false, "the same token");
    await seen(page, "[data-testid=orders] >> text=2 orders");
  }
}

async function isBanned(page) {
  await isAccepted(page);
  await press(page, "end-ban");
  await seen(page, "[data-testid=lift-user-lin]");
  await isRefused(page, "ban the user");
  await outcome(page, "user_blocked");
  await seen(page, "[data-testid=phone-message]");
  await seen(page, "[data-testid=verdict][data-verdict=refused][data-by=ended]");
  expect(await page.getByTestId("member-user-id").count(), 0, "member's cards of a banned user");
  expect(await page.getByTestId("retry").count(), 0, "buttons that try again what stays refused");
  await picture(page, "ends-banned");
}

async function liftsBan(page) {
  await load(page);
  await press(page, "lift-user-lin");
  await page.getByTestId("lift-user-lin").waitFor({ state: "detached" });
  await press(page, "login");
  await isAccepted(page);
  await press(page, "end-ban");
  await outcome(page, "user_blocked");
  await seen(page, "[data-testid=phone-message]");
  const before = faults.length;
  await page.route("**/demo/blocks/*", (route) => route.abort(), { times: 1 });
  await press(page, "lift-user-lin");
  await seen(page, "[data-testid=end-result] >> text=lift the ban: not done");
  await seen(page, "[data-testid=away]:not([hidden]) >> text=does not answer");
  // The page looks for its server by itself, and finds it.
  await seen(page, "[data-testid=away][hidden]");
  expect((await page.locator("#said").textContent()).includes("not done"), true, "what is said of a ban that stays");
  faults.length = before; // the one that was played
  await press(page, "lift-user-lin");
  await page.getByTestId("lift-user-lin").waitFor({ state: "detached" });
  expect(await page.getByTestId("phone-message").isVisible(), false, "the phone's refusal in view of a user who is no longer banned");
}

async function fitsWithResults() {
  for (const [locale, colorScheme, width, height] of [
    ["en-US", "dark", 1280, 720],
    ["zh-CN", "light", 1280, 720],
    ["en-US", "light", 390, 844],
    ["zh-CN", "dark", 390, 844],
  ]) {
    const page = await open({ viewport: { width, height }, locale, colorScheme, reducedMotion: "reduce" });
    await press(page, "login");
    await isAccepted(page);
    await atRest(page);
    await fits(page, width);
    await press(page, "spoil-claims");
    await seen(page, "[data-testid=verdict][data-verdict=refused]");
    const { width: room } = await page.getByTestId("verdict").boundingBox();
    expect(room >= 190, true, `a verdict of at least 190 px, not ${room} px`);
    await press(page, "restore");
    await isAccepted(page);
    await press(page, "end-everywhere");
    await isRefused(page, locale === "en-US" ? "log out everywhere" : "退出所有设备");
    await fits(page, width);
    await picture(page, `ends-${width}-${locale}`);
    await page.context().close();
  }
}

/** Waits until the clock that `act` has started stands still, when both services refuse. */
async function isRefused(page, act) {
  await seen(page, "[data-testid=end-clock][data-state=stopped]");
  expect((await page.getByTestId("end-result").textContent()).startsWith(act), true, `a time of "${act}"`);
  const [seconds] = (await page.getByTestId("end-clock").textContent()).match(/^\d+\.\d(?= )/);
  expect(Number(seconds) <= LATEST_REFUSAL, true, `a refusal after at most ${LATEST_REFUSAL} s, not ${seconds} s`);
  console.log(`    ${act}: refused after ${seconds} s`);
  const isRed = await (await show(page.getByTestId("end-clock"))).evaluate((clock) => {
    const { color } = getComputedStyle(clock);
    clock.style.color = "var(--red)";
    const red = getComputedStyle(clock).color;
    clock.style.color = "";
    return color === red;
  });
  expect(isRed, false, "a time that is red, as if it were bad");
}

function site(page, stage) {
  return seen(page, `[data-testid=laptop][data-stage=${stage}]`);
}

async function findsNoCode(page) {
  expect(await page.evaluate(() => scrollY), 0, "how far a link to the laptop scrolls");
  await press(page, "scan");
  await seen(page, "[data-testid=scan-says][data-said=noCode]");
  await press(page, "close-sheet");
}

/** Shows a code on the laptop, and scans it. Returns the number that the laptop shows. */
async function scansCode(page) {
  await press(page, "laptop-login");
  await site(page, "shown");
  const [code, number] = await Promise.all(["user-code", "laptop-number"].map((id) => page.getByTestId(id).textContent()));
  expect(/^[B-Z]{4}-[B-Z]{4}$/.test(code), true, "a user code");
  await page.waitForFunction(() => document.querySelector("[data-testid=laptop] img").naturalWidth > 200);
  await press(page, "scan");
  await seen(page, "[data-testid=scan-allow]");
  await site(page, "scanned");
  const asked = await page.getByTestId("sheet").textContent();
  expect(asked.includes("Mint Tea Room 薄荷茶室") && asked.includes("127.0.0.1") && asked.includes("Chrome"), true, "what asks, and from where");
  expect((await page.locator(".numbers input").evaluateAll((inputs) => inputs.map(({ value }) => value))).includes(number), true, "the number among the choices");
  expect(await page.getByTestId("scan-allow").getAttribute("aria-disabled"), "true", "Allow before a number is chosen");
  REFUSING.push(`/device/${code.replace("-", "")}/approve`);
  await picture(page, "scan-asked");
  return number;
}

async function choosesWrong(page) {
  const number = await page.getByTestId("laptop-number").textContent();
  await page.locator(`.numbers label:not(:has([value="${number}"]))`).first().click();
  await press(page, "scan-allow");
  await seen(page, "[data-testid=problem][data-code=number_mismatch]");
  await site(page, "refused");
  expect(/wrong number/.test(await page.getByTestId("laptop").textContent()), true, "the laptop's reason");
  await picture(page, "scan-wrong-number");
  await press(page, "close-sheet");
}

async function allowsNothing(page) {
  await scansCode(page);
  await press(page, "scan-deny");
  await seen(page, "[data-testid=scan-says][data-said=denied]");
  await site(page, "refused");
  await press(page, "close-sheet");
}

/** Logs the laptop in by the phone. */
async function lets(page) {
  const number = await scansCode(page);
  await page.locator(`.numbers label:has([value="${number}"])`).click();
  await press(page, "scan-allow");
  await seen(page, "[data-testid=scan-says][data-said=allowed]");
  await press(page, "close-sheet");
  await site(page, "in");
}

/** A logout while the phone asks takes the question away. */
async function forgetsScan(page) {
  await press(page, "login");
  await isAccepted(page);
  await scansCode(page);
  await press(page, "end-logout");
  await seen(page, "[data-testid=login]");
  expect(await page.getByTestId("scan-allow").count(), 0, "questions of what was scanned, after the logout");
  expect(await page.getByTestId("sheet").isVisible(), false, "a sheet over the screen");
  await page.reload(); // the laptop still shows its code
  await seen(page, "html[data-ready]");
}

async function letsIn(page) {
  await lets(page);
  const shown = await Promise.all(["sub", "client_id"].map((name) => page.getByTestId(`fact-${name}`).textContent()));
  expect(shown.join(), "user-lin,demo-web", "whose the laptop's token is");
  expect(await page.getByTestId("member-user-id").textContent(), "user-lin", "whose the phone's is");
  await picture(page, "scan-logged-in");
  await load(page, "/#scan");
  await site(page, "in");
  expect(await page.getByTestId("fact-sub").textContent(), "user-lin", "the user after a reload");
}

/** By a button beside the laptop. */
async function isThrownOut(page, act) {
  await isAccepted(page);
  await (await show(page.getByTestId("laptop"))).waitFor();
  await page.locator(`[data-testid=laptop-${act}][aria-disabled=false]`).click();
  await isOut(page, act === "ban" ? "ban the user" : "log out everywhere");
  if (act !== "ban") return;
  await outcome(page, "user_blocked");
  await picture(page, "scan-thrown-out");
  await press(page, "laptop-lift");
  await page.getByTestId("laptop-lift").waitFor({ state: "detached" });
}

async function isOut(page, act) {
  await site(page, "out");
  const said = await page.getByTestId("laptop-says").textContent();
  const [, seconds] = said.match(/: (\d+\.\d) s after/) ?? [];
  expect(said.startsWith(act) && Number(seconds) <= LATEST_REFUSAL, true, `at most ${LATEST_REFUSAL} s after "${act}", not "${said}"`);
  console.log(`    the laptop is out: ${said}`);
}

async function fitsLaptop() {
  for (const [locale, colorScheme] of [["en-US", "dark"], ["zh-CN", "light"], ["en-US", "light"], ["zh-CN", "dark"]]) {
    const page = await open({ viewport: { width: 390, height: 844 }, locale, colorScheme, reducedMotion: "reduce" }, "/#scan");
    const code = await scansCode(page);
    await page.locator(`.numbers label:has([value="${code}"])`).click();
    for (const width of [1280, 1024, 768, 320, 390]) {
      await page.setViewportSize({ width, height: 844 });
      await fits(page, width);
      const parts = page.locator(".site, .site > *, .sheet, .sheet > *");
      const wide = await parts.evaluateAll((all) => all.filter((part) => part.scrollWidth > part.clientWidth + 1 || part.scrollHeight > part.clientHeight + 1).map((part) => [part.className, part.scrollWidth, part.clientWidth, part.scrollHeight, part.clientHeight].join(" ")).join());
      expect(wide, "", `parts of the laptop or the sheet that are too large for their place at ${width} px, ${locale}`);
    }
    await picture(page, `scan-390-${locale}-${colorScheme}`);
    await page.context().close();
  }
}

async function linked(page, app, user, count) {
  await atRest(page);
  const appid = { tea: "wxc0ffee0000000001", bakery: "wxc0ffee0000000002" }[app];
  const { wechat } = await accountOf(page, user);
  expect(wechat.filter((link) => link.appid === appid).length, count, `bindings of ${user} in the ${app}`);
}

/** A user of the business, with the bindings that wxmint has. */
async function accountOf(page, user) {
  const { accounts } = await (await page.request.get(`${origin}/demo/accounts`)).json();
  return accounts.find((account) => account.user_id === user);
}

// Scan to log in: examples/scan-login in Chromium. The website's phone is the sample mini program in a Chromium of its own; for
// the other stories, a phone that speaks to wxmint as the mini program does.
//
//     node scan.mjs http://127.0.0.1:3000 [screenshot-directory] STORY JSON
//
// JSON: `service`, `simulator`, `admin` (URLs), `appid`, `secret` (of the admin listener), `package` (wxmint-miniprogram's folder),
// and for the page alone `page`, a folder, and `me`, a service that serves the users of tokens. tests/it/scan_examples.rs starts
// all of it, and answers each picture of a code, a line on standard output, with the code's text.

import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { join } from "node:path";
import * as oauth from "oauth4webapi";
import { PATIENCE, address, browser, check, expect, only, seen } from "./means.mjs";
import { HAND_SIZE, block, browsers, logInOnPhone, shown, take, takePhone, text, world } from "./scan_phone.mjs";

const LATEST_REFUSAL = 10; // s from a ban to the site's refusal; the page asks every 3 s
const LIFE = 180; // s of a code
const LEAD = 10; // s before its end; the library's
const DESK = { viewport: { width: 1280, height: 860 }, locale: "zh-CN", colorScheme: "light" };
const HAND = { viewport: HAND_SIZE, locale: "en-US", colorScheme: "dark" };
const TYPES = { html: "text/html", css: "text/css", mjs: "text/javascript", svg: "image/svg+xml" };

const STORIES = { website, alone, undrawn, foreign };

try {
  await STORIES[only]();
  console.log("all as expected");
} catch (error) {
  console.log(`FAILED: ${error.stack}`);
  process.exitCode = 1;
} finally {
  for (const one of browsers) await one.close();
  process.exit(); // standard input, which gives the texts of codes, is still open
}

// ---- the page ----

/** A page, and all that its browser has received. */
async function open(options, url) {
  const context = await browser.newContext({ reducedMotion: "reduce", ...options });
  context.setDefaultTimeout(PATIENCE);
  const page = await context.newPage();
  page.received = [];
  page.on("pageerror", (error) => page.received.push(`script error: ${error.message}`));
  page.on("response", async (answer) => page.received.push(await answer.text().catch(() => "")));
  await page.goto(url);
  return page;
}

function status(page, name) {
  return seen(page, `#login[data-status=${name}]:not([hidden])`);
}

async function loggedIn(page, userId) {
  await seen(page, "#account:not([hidden])");
  expect(await text(page, "#user"), userId, "the user");
}

/** Scans what the page shows, and taps the number that it shows. */
async function scanAndApprove(page, phone) {
  const code = await shown(page);
  await phone.look(code);
  await status(page, "scanned");
  await phone.approve(code, await text(page, "#number output"));
  await loggedIn(page, phone.userId);
}

async function isThrownOut(page, phone, words, meanwhile = () => {}) {
  await block(phone.userId, "PUT");
  const began = Date.now();
  await seen(page, "#note:not([hidden])");
  const took = (Date.now() - began) / 1000;
  expect(await text(page, "#note"), words, "the note");
  expect(took < LATEST_REFUSAL + 5 + PATIENCE / 10_000, true, `a ban that is seen after ${took} s`);
  await meanwhile();
  await block(phone.userId, "DELETE");
}

// ---- the stories ----

async function website() {
  const phone = await takePhone();
  const page = await open(DESK, address);
  await check("the phone tells who asks, and offers the page's number among three", () => showsCode(page, phone));
  await check("scanned, and still so after a reload, with the same code", () => survivesReload(page, phone));
  await check("a tap on the number logs the phone's user in", () => approves(page, phone));
  await check("the browser has seen neither the device code nor the token, and no script reads the cookie", () => keepsSecrets(page));
  await check("a reload finds the user logged in", () => page.reload().then(() => loggedIn(page, phone.userId)));
  await check("a logout ends the token for everybody who has a copy of it", () => logsOut(page));
  await check("a wrong number, and another code", () => isDenied(page, phone, "数字不一致", tapWrongly));
  await check("a refusal on the phone, and another code", () => isDenied(page, phone, "已拒绝登录", () => phone.press("拒绝")));
  await check("a ban throws the user out, on the phone too, until it is lifted", () => isBanned(page, phone));
  await page.context().close();

  await check("a code that nobody scans is replaced before it expires", () => replaces(DESK));
  await check("a picture that WeChat does not give: the user code, and another try", () => doesWithoutPicture(HAND));
  await check("another website's page cannot ask this one", refusesStrangers);
}

async function showsCode(page, phone) {
  await status(page, "waiting");
  const code = await shown(page);
  await take("waiting", page, phone);
  await phone.look(code);
  expect((await phone.told("heading-title")).join(), "登录“晨光商城”", "who asks");
  const [device, from, time] = await phone.told("value");
  expect([device, from, /^\d\d:\d\d$/.test(time)].join(), "Linux · Chrome,127.0.0.1,true", "what the phone tells of the browser");
  const choices = await phone.told("choice");
  expect(choices.length === 3 && choices.includes(await text(page, "#number output")), true, "the page's number among the phone's");
}

async function survivesReload(page, phone) {
  await status(page, "scanned");
  expect(await text(page, "#veil p"), "已扫码，请在手机上确认", "what the page says");
  const requested = () => Promise.all([text(page, "#typed strong"), text(page, "#number output")]);
  const before = await requested();
  await take("scanned", page, phone);
  await page.reload();
  await status(page, "scanned");
  expect((await requested()).join(), before.join(), "the code and the number after a reload");
}

async function approves(page, phone) {
  await phone.approve("", await text(page, "#number output"));
  await loggedIn(page, phone.userId);
  await take("logged-in", page, phone);
}

async function keepsSecrets(page) {
  const [cookie] = (await page.context().cookies()).filter(({ name }) => name === "token");
  expect([cookie.httpOnly, cookie.sameSite].join(), "true,Lax", "the cookie");
  const readable = await page.evaluate(() => document.cookie + JSON.stringify({ ...sessionStorage, ...localStorage }));
  for (const text of [...page.received, readable]) {
    expect(/"(device_code|access_token)":|^script error/.test(text) || text.includes(cookie.value), false, `a secret in ${text.slice(0, 200)}`);
  }
}

async function logsOut(page) {
  const copied = (await page.context().cookies()).find(({ name }) => name === "token").value;
  const ask = () => fetch(`${address}/me`, { headers: { cookie: `token=${copied}` } });
  expect((await ask()).status, 200, "the copied cookie before the logout");
  await page.click("#logout");
  await status(page, "waiting");
  for (const end = Date.now() + PATIENCE; (await ask()).status !== 401; ) expect(Date.now() < end, true, "a copy that is refused");
}

async function isDenied(page, phone, title, act) {
  const code = await shown(page);
  await phone.look(code);
  await act(page, phone);
  await phone.says(title);
  await status(page, "denied");
  await take(act === tapWrongly ? "wrong-number" : "denied", page, phone);
  await page.click("#again");
  await status(page, "waiting");
  expect((await shown(page)) !== code, true, "another code");
}

async function tapWrongly(page, phone) {
  const right = await text(page, "#number output");
  await phone.choose((await phone.told("choice")).find((choice) => choice !== right));
  await phone.press("允许登录");
}

async function isBanned(page, phone) {
  await scanAndApprove(page, phone);
  await isThrownOut(page, phone, "登录已失效，请重新扫码", async () => {
    await phone.look(await shown(page));
    await phone.says("账号已被封禁");
    await take("banned", page, phone);
  });
  await phone.press("重新登录");
  await phone.approve("", await text(page, "#number output"));
  await loggedIn(page, phone.userId);
}

async function replaces(options) {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  await page.clock.install();
  await page.goto(address);
  await seen(page, "#picture:not([hidden])");
  const code = await text(page, "#typed strong");
  await page.clock.fastForward((LIFE - LEAD) * 1000); // and goes on, because an ask may be under way
  await page.waitForFunction((old) => !document.getElementById("picture").alt.endsWith(old), code);
  await context.close();
}

async function doesWithoutPicture(options) {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  let down = true;
  await page.route("**/code.jpg", (route) => (down ? route.fulfill({ status: 503 }) : route.continue()));
  await page.goto(address);
  await seen(page, "#typed:not([hidden])");
  expect(/^[BCDFGHJKLMNPQRSTVWXZ]{4}-[BCDFGHJKLMNPQRSTVWXZ]{4}$/.test(await text(page, "#typed strong")), true, "the user code");
  await take("no-picture", page);
  down = false;
  await page.click("#redraw");
  await shown(page);
  await context.close();
}

async function refusesStrangers() {
  for (const path of ["/scan", "/scan/token", "/logout"]) {
    const answer = await fetch(address + path, { method: "POST", headers: { "Sec-Fetch-Site": "same-site" } });
    expect(answer.status, 403, `${path} for another website`);
  }
}

async function alone() {
  const server = createServer(serve).listen(new URL(world.origin).port, "127.0.0.1");
  const phone = await logInOnPhone();
  const page = await open(HAND, world.origin);
  await check("a page without a back end logs the phone's user in, across origins", () => scanAndApprove(page, phone));
  await check("the token is in memory only: a reload logs out", () => forgets(page));
  await check("a logout is heard by wxmint", async () => {
    await scanAndApprove(page, phone);
    const answered = page.waitForResponse((answer) => answer.url() === `${world.service}/logout` && answer.request().method() === "POST");
    await page.click("#logout");
    expect((await answered).status(), 204, "the logout");
    await status(page, "waiting");
  });
  await check("a ban throws the user out", async () => {
    await scanAndApprove(page, phone);
    await isThrownOut(page, phone, "Your login has ended. Scan again");
  });
  await page.context().close();
  server.close();
}

/** The page's files, with `config.mjs` as its reader writes it, and a service of the same origin. */
async function serve(request, response) {
  if (request.url === "/me") {
    const { status } = await fetch(world.me, { headers: { authorization: request.headers.authorization } });
    return response.writeHead(status).end("{}");
  }
  const name = request.url === "/" ? "index.html" : request.url.slice(1);
  response.setHeader("content-type", TYPES[name.split(".").pop()] ?? "text/plain");
  const policy = `default-src 'self'; connect-src 'self' ${world.service}; img-src 'self' ${world.service}`;
  response.setHeader("content-security-policy", policy); // as the README has it
  const config = `export default ${JSON.stringify({ url: world.service, clientId: "shop-page", me: "/me" })}`;
  response.end(name === "config.mjs" ? config : await readFile(join(world.page, name)));
}

async function forgets(page) {
  const kept = await page.evaluate(() => document.cookie + JSON.stringify({ ...sessionStorage, ...localStorage }));
  expect(/eyJ|device_code/.test(kept), false, `a secret in ${kept}`);
  await page.reload();
  await status(page, "waiting");
}

/** wxmint's own page for sites, on which WeChat draws no picture, with codes of 10 s. */
async function undrawn() {
  const page = await (await browser.newContext(DESK)).newPage();
  let [asked, isDown] = [0, true];
  await page.clock.install();
  const scan = { device_code: "d", interval: 2, expires_in: 15, user_code: "d" };
  await page.route("**/authorize/scan?*", (route) => route.fulfill({ json: scan }));
  await page.route("**/authorize/poll?*", (route) => route.fulfill({ json: { state: "wait" } }));
  await page.route("**/code.jpg*", (route) => {
    asked += 1;
    return isDown ? route.fulfill({ status: 503 }) : route.fulfill({ contentType: "image/svg+xml", body: '<svg xmlns="http://www.w3.org/2000/svg"/>' });
  });
  const says = (state) => page.waitForFunction((state) => document.querySelector(`#status[data-${state}]`)?.dataset[state] === document.getElementById("status").textContent, state);
  const pass = async (seconds) => {
    for (let step = 0; step < 2 * seconds; step++) await page.clock.runFor(500).then(() => new Promise((done) => setTimeout(done, 20)));
  };
  const challenge = { code_challenge: "a".repeat(43), code_challenge_method: "S256" };
  const query = { client_id: "shop-site", redirect_uri: "http://127.0.0.1/cb", response_type: "code", scope: "openid", ...challenge };
  const begin = async () => {
    await page.goto(`${world.service}/authorize?${new URLSearchParams(query)}`);
    asked = 0;
  };
  await check("a picture that does not come is waited for, and not a phone, until it is there", async () => {
    await begin();
    await says("busy");
    await pass(3);
    await says("busy");
    isDown = false;
    await pass(7);
    await says("wait");
  });
  await check("it is asked for every 5 s, and by nobody once the code has expired", async () => {
    isDown = true;
    await begin();
    await pass(60);
    expect(asked > 6 && asked <= 24, true, `at most 4 for each of 6 codes: ${asked}`);
    await pass(90);
    await says("paused");
    asked = 0;
    await pass(20);
    expect(asked, 0, "requests on an abandoned tab");
  });
}

/** A library that knows nothing of wxmint, with what RFC 8628 and RFC 8414 say. */
async function foreign() {
  const insecure = { [oauth.allowInsecureRequests]: true }; // http, on this machine
  const issuer = new URL(world.service);
  const found = await oauth.discoveryRequest(issuer, { algorithm: "oauth2", ...insecure });
  const server = await oauth.processDiscoveryResponse(issuer, found);
  const phone = await logInOnPhone();
  const ways = { "shop-web": oauth.ClientSecretBasic, "shop-post": oauth.ClientSecretPost, "shop-cli": oauth.None };
  for (const [client_id, way] of Object.entries(ways)) {
    await check(`oauth4webapi logs ${client_id} in`, () => logsIn(server, phone, { client_id }, way(world.secrets[client_id]), insecure));
  }
}

async function logsIn(server, phone, client, authentication, options) {
  const asked = await oauth.deviceAuthorizationRequest(server, client, authentication, new URLSearchParams(), options);
  const device = await oauth.processDeviceAuthorizationResponse(server, client, asked);
  const poll = async () => {
    await new Promise((resolve) => setTimeout(resolve, device.interval * 1000)); // as the RFC wants it
    const answer = await oauth.deviceCodeGrantRequest(server, client, authentication, device.device_code, options);
    return oauth.processDeviceCodeResponse(server, client, answer);
  };
  const pending = await poll().then(() => "a token", (error) => error.error);
  expect(pending, "authorization_pending", "the answer before the approval");
  const { choices } = await phone.look(device.user_code);
  expect(choices.includes(device.match), true, "the number among those of the phone");
  await phone.approve(device.user_code, device.match);
  const { access_token, token_type } = await poll();
  const { sub, client_id } = JSON.parse(Buffer.from(access_token.split(".")[1], "base64url"));
  expect([sub, client_id, token_type].join(), [phone.userId, client.client_id, "bearer"].join(), "whose token it is");
  expect(await poll().catch((error) => error.error), "invalid_grant", "the answer to a code that was used");
}

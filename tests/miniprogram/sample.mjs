// Uses the sample, examples/mini-program, on a phone as a person would, and checks what the person sees:
//
//     node sample.mjs '{"person":…,"appid":…,"service":…,"simulator":…,"issuer":…,"package":…,
//                       "client":…,"operators":…,"secret":…,"pictures":…}'
//
// `package` is the folder of wxmint-miniprogram, `operators` wxmint's admin listener, `client` a website that users log in
// to by scanning: `id` and `name`. One line per check. Stops at the
// first failure, and exits 1.

import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { createRemoteJWKSet, jwtVerify } from "jose";
import { chromium } from "playwright-core";

import { Peer } from "./peer.mjs";
import { turnOnSample } from "./screen.mjs";
import { exchanged } from "./stories.mjs";
import { Website } from "./website.mjs";

const SAMPLE = fileURLToPath(new URL("recommended", import.meta.url));
const [WXMINT, API] = ["https://login.example.com", "https://api.example.com"];
const AWAY = "http://127.0.0.1:9"; // nobody listens there
const FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update"];
const SIZE = { width: 390, height: 844 };
const NARROW = { width: 320, height: 568 };
const EDGE = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36 Edg/142.0.0.0";

const { service, issuer, client, operators, secret, pictures, ...given } = JSON.parse(process.argv[2]);
const jwks = `${service}/.well-known/jwks.json`;
const keys = createRemoteJWKSet(new URL(jwks));
const peer = new Peer({ issuer, jwks });
await peer.start();
const website = new Website({ service, id: client.id, userAgent: EDGE });
const domains = { [WXMINT]: service, [API]: peer.origin };
const executablePath = process.env.CHROMIUM ?? "/usr/bin/chromium-headless-shell";
const browser = await chromium.launch({ executablePath, args: FLAGS });
const tab = await browser.newPage({ viewport: SIZE, colorScheme: "light" });
const faults = [];
tab.on("pageerror", (error) => faults.push(error.message));
tab.on("console", (message) => ["error", "warning"].includes(message.type()) && faults.push(message.text()));
const { phone, screen } = await turnOnSample(tab, SAMPLE, { ...given, domains });

try {
  await check("whoever is new is asked for an account", isAsked);
  await check("a wrong password is refused, and the page says so", guessesWrong);
  await check("the right password binds, and the orders are shown", binds);
  await check("from then on the mini program opens with the orders, without a login", opensAtOnce);
  await check("a code that is scanned tells who asks, and the right number logs the website in as this user", allows);
  await check("whoever scans an ordinary QR code may refuse; then the code is used up", refuses);
  await check("a wrong number ends the request, and another code is none of ours", mistakes);
  await check("without a network the page of a code stays, and each step can be tried again", triesAgain);
  await check("a phone number is shown to its user only if it is given", showsPhoneNumber);
  await check("who has logged out, here or everywhere, stays so until a tap logs in again, also over a restart", logsOut);
  await check("who has dissolved the binding is asked again", unbinds);
  await check("a phone number binds, unless its user declines, and then the code that was scanned opens", bindsByPhone);
  await check("a banned user is told so, and comes back once the ban is lifted", isBanned);
  await check("without a network the page offers another try, which succeeds once there is one", isOffline);
  expect(faults.join("; "), "", "faults of the pages");
  console.log("all as expected");
} catch (error) {
  console.error(`FAILED: ${error.message}${faults.length ? ` (and: ${faults.join("; ")})` : ""}`);
  process.exitCode = 1;
} finally {
  await browser.close();
  peer.stop();
}

async function isAsked() {
  await screen.start();
  await shows("bind", "heading-title", "绑定账号");
  await screen.tap("button");
  await shows("bind", "problem", "请输入账号和密码");
}

async function guessesWrong() {
  await submits("looking-glass");
  await shows("bind", "problem", "账号或密码不正确", "wrong-password");
}

async function binds() {
  await submits("wonderland");
  await shows("home", "cell >> nth=0", "an order of user-alice");
  await shows("home", "value", "user-alice");
}

async function submits(password) {
  await screen.find("[name=username]").fill("alice");
  await screen.find("[name=password]").fill(password);
  await screen.tap("button");
}

async function opensAtOnce() {
  const before = await exchanged(phone);
  await screen.start();
  await shows("home", "value", "user-alice");
  expect((await exchanged(phone)) - before, 0, "logins");
}

async function allows() {
  const asked = await scans();
  await shows("scan", "heading-title", `登录“${client.name}”`);
  const long = "w".repeat(64);
  await screen.find(".heading-title").evaluate((title, name) => (title.textContent = name), long);
  await shows("scan", "heading-title", long, "scan-long");
  const told = await screen.find(".value").allTextContents();
  expect(told[0], "Windows · Edge", "the device");
  expect(told.length === 3 && told[1].startsWith("127.0.0.") && /^\d\d:\d\d$/.test(told[2]), true, `address and time in ${told}`);
  expect(await screen.find("button >> nth=0").isDisabled(), true, "no number, no consent:");
  await screen.tap(`.choice >> text=${asked.match}`);
  await shows("scan", "chosen", asked.match, "scan-chosen");
  await screen.tap("button >> nth=0");
  await shows("scan", "message-title", "已允许登录", "scan-allowed");
  const { payload } = await jwtVerify((await website.polled(asked)).access_token, keys, { issuer });
  expect(`${payload.sub} ${payload.client_id}`, `user-alice ${client.id}`, "the token");
  await screen.tap("button");
  await shows("home", "value", "user-alice");
}

async function refuses() {
  const asked = await scans(({ verification_uri_complete: url }) => `q=${encodeURIComponent(url)}`);
  await screen.tap("button >> nth=1");
  await shows("scan", "message-title", "已拒绝登录", "scan-denied");
  expect((await website.polled(asked)).error, "access_denied", "the answer to the website");
  await screen.start(page(asked));
  await shows("scan", "message-title", "二维码已失效", "scan-expired");
}

async function mistakes() {
  const asked = await scans();
  const wrong = (await screen.find(".choice").allTextContents()).find((number) => number !== asked.match);
  await screen.tap(`.choice >> text=${wrong}`);
  await screen.tap("button >> nth=0");
  await shows("scan", "message-title", "数字不一致", "scan-wrong");
  expect((await website.polled(asked)).error, "access_denied", "the answer to the website");
  await screen.start("/pages/scan/index?scene=table%3D12");
  await shows("scan", "message-title", "无法识别", "scan-other");
}

async function triesAgain() {
  const asked = await website.asks();
  domains[WXMINT] = AWAY;
  await screen.start(page(asked));
  await shows("scan", "message-title", "无法连接", "scan-offline");
  domains[WXMINT] = service;
  await screen.tap("button");
  await screen.tap(`.choice >> text=${asked.match}`);
  domains[WXMINT] = AWAY;
  await screen.tap("button >> nth=0");
  await shows("scan", "problem", "网络不可用，请检查网络后重试", "scan-again");
  domains[WXMINT] = service;
  await screen.tap("button >> nth=0");
  await shows("scan", "message-title", "已允许登录", "scan-allowed");
  await screen.tap("button");
}

/** A website asks, and the phone scans what it shows: a mini-program code unless `scanned` says otherwise. */
async function scans(scanned) {
  const asked = await website.asks();
  await screen.start(page(asked, scanned));
  return asked;
}

function page(asked, scanned = ({ user_code }) => `scene=${user_code.replace("-", "")}`) {
  return `/pages/scan/index?${scanned(asked)}`;
}

async function showsPhoneNumber() {
  await screen.tap("navigator");
  screen.declines = true;
  await screen.tap("button");
  await shows("account", "cell >> nth=1", "手机号获取");
  screen.declines = false;
  await screen.tap("button");
  expect(/^手机号1\d\d\*{4}\d{4}$/.test(await screen.find(".cell >> nth=1").textContent()), true, "a phone number");
  await picture("account");
}

async function logsOut() {
  await screen.tap(".action >> nth=0");
  await shows("login", "message-title", "已退出登录");
  const before = await exchanged(phone);
  await screen.start();
  await shows("login", "message-title", "已退出登录");
  expect((await exchanged(phone)) - before, 0, "logins");
  await screen.tap("button");
  await shows("home", "value", "user-alice");
  await screen.tap("navigator");
  await screen.tap(".action >> nth=1");
  await shows("login", "message-title", "已退出登录");
  // wxmint refuses a token of the second in which all of its user's tokens were ended.
  const second = Math.floor(Date.now() / 1000);
  while (Math.floor(Date.now() / 1000) === second) await new Promise((later) => setTimeout(later, 10));
  await screen.tap("button");
  await shows("home", "value", "user-alice");
}

async function unbinds() {
  await screen.tap("navigator");
  await screen.tap(".action >> nth=2");
  await picture("unbinding");
  await screen.answer("取消");
  await shows("account", "value >> nth=0", "user-alice");
  await screen.tap(".action >> nth=2");
  await screen.answer("确定");
  await shows("login", "message-title", "已退出登录");
  await screen.tap("button");
  await shows("bind", "heading-title", "绑定账号");
}

async function bindsByPhone() {
  await scans();
  await shows("login", "message-title", "已退出登录");
  await screen.tap("button");
  await shows("bind", "heading-title", "绑定账号");
  await screen.tap("navigator");
  await shows("phone", "heading-title", "绑定手机号");
  screen.declines = true;
  await screen.tap("button");
  await shows("phone", "problem", "");
  screen.declines = false;
  await operator("PUT", "/users/user-1002/block");
  await screen.tap("button");
  await shows("blocked", "message-title", "账号已被封禁");
  await operator("DELETE", "/users/user-1002/block");
  await screen.tap("button >> nth=1");
  await shows("bind", "heading-title", "绑定账号");
  await screen.tap("navigator");
  await screen.tap("button");
  await shows("scan", "heading-title", `登录“${client.name}”`);
  await screen.tap("button >> nth=1");
  await screen.tap("button");
  await shows("home", "value", "user-1002");
}

/** A service that follows the feed of ends refuses the token from then on, as the peer does here. */
async function isBanned() {
  await operator("PUT", "/users/user-1002/block");
  peer.refuseLast();
  await screen.start();
  await shows("blocked", "message-title", "账号已被封禁");
  await screen.tap("button >> nth=1");
  await shows("blocked", "problem", "账号仍被封禁", "still-blocked");
  await operator("DELETE", "/users/user-1002/block");
  await screen.tap("button >> nth=1");
  await shows("home", "value", "user-1002");
}

async function operator(method, path) {
  const { status } = await fetch(`${operators}${path}`, { method, headers: { authorization: `Bearer ${secret}` } });
  expect(status, 204, `the answer to ${method} ${path}`);
}

async function isOffline() {
  Object.assign(domains, { [WXMINT]: AWAY, [API]: AWAY });
  await screen.start();
  await shows("offline", "message-text", "网络不可用，请检查网络后重试");
  await screen.tap("button");
  await shows("offline", "message-title", "无法连接");
  Object.assign(domains, { [WXMINT]: service, [API]: peer.origin });
  await screen.tap("button");
  await shows("home", "value", "user-1002");
}

/** Which page is open, what is in its element of a class, and that it fits on narrow screens. */
async function shows(page, name, text, pictured = page) {
  expect(screen.path.split("/")[1], page, "the open page");
  expect(await screen.find(`.${name}`).textContent(), text, `.${name}`);
  for (const size of [NARROW, SIZE]) {
    await tab.setViewportSize(size);
    const width = await tab.frame("page").evaluate(() => document.documentElement.scrollWidth);
    expect(width <= size.width, true, `a page of ${size.width} px, not ${width} px`);
  }
  await picture(pictured);
}

/** In both themes. */
async function picture(name) {
  if (!pictures) return;
  mkdirSync(pictures, { recursive: true });
  for (const colorScheme of ["dark", "light"]) {
    await tab.emulateMedia({ colorScheme });
    await tab.screenshot({ path: join(pictures, `mini-program-${name}-${colorScheme}.png`) });
  }
}

async function check(name, prove) {
  try {
    await prove();
  } catch (error) {
    throw new Error(`${name}: ${error.message}`);
  }
  console.log(`ok  ${name}`);
}

function expect(actual, wanted, what) {
  if (actual !== wanted) throw new Error(`expected ${what} to be ${JSON.stringify(wanted)}, got ${JSON.stringify(actual)}`);
}

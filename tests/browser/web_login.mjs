// examples/web-login in Chromium: one person in two browsers, one ban, and links that a stranger has sent.
//
//     node web_login.mjs http://127.0.0.1:3000 [screenshot-directory] STORY JSON
//
// JSON: `service`, `simulator`, `admin`, `sidecar` (URLs; the last that of its `/verify`), `account` and `site` (AppIDs), `appid` (of the mini program), `secret` (of the admin
// listener). tests/it/web_login/example.rs starts all of it.

import { join } from "node:path";
import { PATIENCE, address, browser, check, expect, seen, shots } from "./means.mjs";

const LATEST_REFUSAL = 10; // s from the answer to a ban until nobody serves the user any more
const ASKS_EVERY = 100; // ms
const known = JSON.parse(process.argv[5]);
const IN_WECHAT = "Mozilla/5.0 (Linux; Android 14) AppleWebKit/537.36 Chrome/130.0 Mobile Safari/537.36 MicroMessenger/8.0.54";
const site = new URL(address);
const blocked = []; // of the pages' own

try {
  await stories();
  expect(blocked.join("\n"), "", "the pages' own parts are shown");
  console.log("all as expected");
} catch (error) {
  console.log(`FAILED: ${error.stack}`);
  process.exitCode = 1;
} finally {
  await browser.close();
}

async function open(options = {}) {
  const context = await browser.newContext({ locale: "zh-CN", ...options });
  context.setDefaultTimeout(PATIENCE);
  const page = await context.newPage();
  page.sent = [];
  page.on("request", (request) => page.sent.push(request.url()));
  page.on("console", (message) => message.text().includes("Content Security Policy") && blocked.push(message.text()));
  await page.goto(address);
  await seen(page, "#login:not([hidden])");
  return page;
}

async function take(page, name) {
  if (shots) await page.screenshot({ path: join(shots, `web-login-${name}.png`) });
}

async function json(url, method, body, secret) {
  const headers = { "Content-Type": "application/json", ...(secret && { Authorization: `Bearer ${secret}` }) };
  const answer = await fetch(url, { method, headers, body: body && JSON.stringify(body) });
  return answer.status === 204 ? null : answer.json();
}

async function code(appid, person) {
  return (await json(`${known.simulator}/_simulator/codes`, "POST", { person, appid })).codes[0];
}

/** What a service answers that wxmint's own sidecar guards. */
async function statusOf(token) {
  return (await fetch(known.sidecar, { headers: { Authorization: `Bearer ${token}` } })).status;
}

async function logIn(page, person) {
  await page.click("#login a");
  await page.getByRole("link", { name: person, exact: true }).click();
  await seen(page, "#account:not([hidden])");
  return page.textContent("#user");
}

async function isRefused(page, url) {
  await page.goto(url);
  await seen(page, "#note:not([hidden])");
  expect(await page.isHidden("#account"), true, "nobody is logged in");
}

async function isNoted(page, error, text) {
  await page.goto(`${site.origin}/?error=${error}`);
  await seen(page, "#note:not([hidden])");
  expect(await page.textContent("#note"), text, error);
}

async function exchanges() {
  return (await json(`${known.simulator}/_simulator/stats`, "GET")).exchanges_ok;
}

/** What the site answers to the page's browser, without the page. */
function servedTo(page) {
  return async () => (await page.request.get(`${site.origin}/me`)).status();
}

/** Asks again and again; s from `began` to the refusal. */
async function refusedAfter(name, ask, began) {
  const limit = began + LATEST_REFUSAL * 1000;
  while ((await ask()) !== 401) {
    if (Date.now() > limit) throw new Error(`${name}: not refused within ${LATEST_REFUSAL} s of the ban`);
    await new Promise((resolve) => setTimeout(resolve, ASKS_EVERY));
  }
  const took = (Date.now() - began) / 1000;
  expect(took <= LATEST_REFUSAL, true, `${name}: a refusal after ${took} s`);
  console.log(`    ${name}: refused ${took.toFixed(1)} s after the ban`);
}

async function stories() {
  for (const person of ["lin", "mei"]) await code(known.appid, person); // the simulator knows them
  const phone = await json(`${known.service}/login`, "POST", { code: await code(known.appid, "lin"), appid: known.appid });
  const [desk, inWeChat] = [await open(), await open({ userAgent: IN_WECHAT })];

  await check("by the QR code the mini program's user is logged in", async () => {
    await take(desk, "begin");
    expect(await logIn(desk, "lin"), phone.user_id, "the user");
    await take(desk, "account");
    expect(desk.url(), address, "the address bar has no code");
    expect(desk.sent.some((url) => url.includes("/connect/qrconnect?")), true, "WeChat's page");
    expect(await desk.evaluate(() => document.cookie), "", "what a script reads");
  });
  await check("within WeChat it is the same user", async () => {
    expect(await logIn(inWeChat, "lin"), phone.user_id, "the user");
    expect(inWeChat.sent.some((url) => url.includes("/connect/oauth2/authorize?")), true, "WeChat's page");
  });
  await check("one ban throws the website, the account's page and the mini program out, until it is lifted", async () => {
    const ban = `${known.admin}/users/${phone.user_id}/block`;
    const doors = { website: servedTo(desk), "account's page": servedTo(inWeChat), "mini program": () => statusOf(phone.access_token) };
    for (const [name, ask] of Object.entries(doors)) expect((await ask()) < 300, true, `${name}: served before the ban`);
    await json(ban, "PUT", undefined, known.secret);
    const began = Date.now();
    await Promise.all(Object.entries(doors).map(([name, ask]) => refusedAfter(name, ask, began)));
    for (const page of [desk, inWeChat]) await seen(page, "#login:not([hidden])"); // the pages ask every 3 s
    await desk.click("#login a");
    await desk.getByRole("link", { name: "lin", exact: true }).click();
    await seen(desk, "#note:not([hidden])");
    await json(ban, "DELETE", undefined, known.secret);
  });
  await check("a link with a stranger's code logs nobody in, and the code is not even spent", async () => {
    const victim = await open();
    const stolen = await code(known.site, "mei");
    const before = await exchanges();
    await isRefused(victim, `${site.origin}/callback?code=${stolen}&state=guessed`);
    await victim.click("#login a"); // has a state of its own now
    await victim.waitForURL(/qrconnect/);
    const underWay = victim.url();
    await isRefused(victim, `${site.origin}/callback?code=${stolen}&state=guessed`);
    await isRefused(victim, `${site.origin}/callback?code=${stolen}`);
    expect(await exchanges(), before, "exchanges");
    await victim.goto(underWay); // which no such link has ended
    await victim.getByRole("link", { name: "mei", exact: true }).click();
    await seen(victim, "#account:not([hidden])");
    await isNoted(victim, "toString", "暂时无法登录，请稍后再试。");
  });
  await check("a way back is good once, in the browser that began", async () => {
    const [one, other] = [await open(), await open()];
    await logIn(one, "mei");
    const way = one.sent.find((url) => url.includes("/callback?"));
    for (const page of [one, other]) await page.goto(way);
    await seen(other, "#note:not([hidden])");
    await seen(one, "#note:not([hidden])");
    expect(await one.isHidden("#account"), false, "the first login goes on");
    await one.click("#logout");
    await seen(one, "#login:not([hidden])");
  });
  await check("the virtual person of a snapshot is asked to tap, and comes in as a real one", async () => {
    const page = await open({ userAgent: IN_WECHAT });
    await page.click("#login a");
    await page.waitForURL(/authorize/);
    await page.goto(`${page.url()}&snapshot=1&person=mei`.replace("#wechat_redirect", ""));
    await seen(page, "#note:not([hidden])");
    expect((await page.textContent("#note")).includes("使用完整服务"), true, "what to do");
    await logIn(page, "mei");
  });
}

// The runtime itself: that pages meet the defaults and quirks of WeChat's. `node --test runtime.test.mjs`

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { after, before, test } from "node:test";

import { Phone } from "./runtime.mjs";

const DOMAIN = "https://example.com";
const NOBODY = "https://nobody.example.com";
const APPID = "wx0123456789abcdef";
const HOUR = 3_600_000;

let address;
const held = []; // answers to `/held`, until there are ten
let mostHeld = 0;

/** Answers with what it was asked. */
const server = createServer(async (request, response) => {
  const { method, url, headers } = request;
  let body = "";
  for await (const piece of request) body += piece;
  if (url === "/stalled") return;
  if (url === "/held") return hold(response);
  if (url === "/html") return response.end("<p>");
  if (url === "/_simulator/codes") return response.end('{"codes":["a-code"]}');
  response.statusCode = Number(/^\/status\/(\d+)/.exec(url)?.[1] ?? 200);
  response.end(JSON.stringify({ method, url, headers, body }));
});

/** An eleventh has 20 ms to come. */
function hold(response) {
  held.push(response);
  mostHeld = Math.max(mostHeld, held.length);
  if (held.length === 10) setTimeout(() => held.splice(0).forEach((one) => one.end()), 20);
}

before(async () => {
  await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
  address = `http://127.0.0.1:${server.address().port}`;
});
after(() => server.close());

function newPhone() {
  const domains = { [DOMAIN]: address, [NOBODY]: "http://127.0.0.1:1" };
  return new Phone({ person: "lin", appid: APPID, simulator: address, domains });
}

/** A page that runs this, with `tell` to set its data. */
async function pageData(phone, commands) {
  const program = await phone.start();
  const page = await program.open("test.js", `Page({ onLoad() { const tell = (d) => this.setData(d); ${commands} } })`);
  return page.data;
}

/** What the server was asked by a wx.request of these options. */
async function asked(options) {
  const text = JSON.stringify({ url: `${DOMAIN}/a`, ...options });
  const { answer } = await pageData(newPhone(), `wx.request({ ...${text}, success: (answer) => tell({ answer }) })`);
  return { ...answer, ...answer.data };
}

/** Which callbacks a wx.request of these options calls, with what message. */
async function called(options) {
  const callbacks = `success: note('success'), fail: note('fail'), complete: note('complete')`;
  const note = `const calls = []; const note = (name) => (it) => { calls.push([name, it.errMsg]); tell({ calls }) }`;
  return (await pageData(newPhone(), `${note}; wx.request({ ...${JSON.stringify(options)}, ${callbacks} })`)).calls;
}

test("a request is a GET with the data in its query", async () => {
  const { method, url, body, headers } = await asked({ url: `${DOMAIN}/a?b=1`, data: { name: "李 &", n: 2 } });
  assert.deepEqual({ method, url, body }, { method: "GET", url: "/a?b=1&name=%E6%9D%8E%20%26&n=2", body: "" });
  assert.equal(headers["content-type"], "application/json");
});

test("a POST is JSON, or a form where its header says so; a text stays one", async () => {
  const data = { name: "李 &" };
  assert.equal((await asked({ method: "post", data })).body, '{"name":"李 &"}');
  const header = { "Content-Type": "application/x-www-form-urlencoded" };
  assert.equal((await asked({ method: "POST", data, header })).body, "name=%E6%9D%8E%20%26");
  assert.equal((await asked({ method: "POST", data: "as it is", header })).body, "as it is");
});

test("the Referer names the mini program, whatever the page says", async () => {
  const { headers } = await asked({ header: { Referer: "https://other.example.com", "X-Mine": "1" } });
  assert.equal(headers.referer, `https://servicewechat.com/${APPID}/0/page-frame.html`);
  assert.equal(headers["x-mine"], "1");
  assert.equal(headers.host, "example.com");
});

test("success is every status; JSON is read, and other text stays", async () => {
  for (const status of [200, 401, 503]) {
    assert.equal((await asked({ url: `${DOMAIN}/status/${status}` })).statusCode, status);
  }
  const html = await pageData(newPhone(), `wx.request({ url: "${DOMAIN}/html", success: (it) => tell(it) })`);
  assert.equal(html.data, "<p>");
});

test("fail is no answer, and complete comes after either", async () => {
  const fails = async (options) => {
    const [[first, words], ...rest] = await called(options);
    assert.deepEqual([first, rest], ["fail", [["complete", words]]]);
    return words;
  };
  assert.match(await fails({ url: `${NOBODY}/a` }), /^request:fail .*ECONNREFUSED/);
  assert.equal(await fails({ url: "https://unregistered.example.com/a" }), "request:fail url not in domain list");
  assert.equal(await fails({ url: `${DOMAIN}/stalled`, timeout: 50 }), "request:fail timeout");
  const answered = [["success", "request:ok"], ["complete", "request:ok"]];
  assert.deepEqual(await called({ url: `${DOMAIN}/status/500` }), answered);
});

test("a request's task can abort it", async () => {
  const commands = `wx.request({ url: "${DOMAIN}/stalled", fail: ({ errMsg }) => tell({ errMsg }) }).abort()`;
  assert.deepEqual(await pageData(newPhone(), commands), { errMsg: "request:fail abort" });
});

test("ten requests at once, and further ones in their turn", async () => {
  const request = `wx.request({ url: "${DOMAIN}/held", success: () => tell({ answered: this.data.answered + 1 }) })`;
  const data = await pageData(newPhone(), `tell({ answered: 0 }); for (let n = 0; n < 30; n += 1) ${request}`);
  assert.deepEqual([data.answered, mostHeld], [30, 10]);
});

test("wx.login calls back, or is a promise", async () => {
  const commands = `wx.login({ success: ({ code }) => tell({ code }) }); wx.login().then((it) => tell({ it }))`;
  const { code, it } = await pageData(newPhone(), commands);
  assert.deepEqual([code, it], ["a-code", { code: "a-code", errMsg: "login:ok" }]);
});

test("checkSession fails until somebody has logged in", async () => {
  const commands = "wx.checkSession({ fail: () => tell({ before: false }), complete: () => wx.login().then(check) })";
  const check = "const check = () => wx.checkSession().then(() => tell({ after: true }))";
  assert.deepEqual(await pageData(newPhone(), `${check}; ${commands}`), { before: false, after: true });
});

test("storage keeps copies over a restart, and variables do not stay", async () => {
  const phone = newPhone();
  const write = "const kept = { n: [1] }; wx.setStorageSync('kept', kept); kept.n.push(2); globalThis.left = true";
  await pageData(phone, `${write}; wx.setStorage({ key: 'late', data: 'x' })`);
  const read = "tell({ kept: wx.getStorageSync('kept'), none: wx.getStorageSync('none'), left: globalThis.left })";
  const late = "wx.getStorage({ key: 'late', success: ({ data }) => tell({ late: data }) })";
  const missing = "wx.getStorage({ key: 'none', fail: ({ errMsg }) => tell({ errMsg }) })";
  const data = await pageData(phone, `${read}; ${late}; ${missing}`);
  assert.deepEqual(data, {
    kept: { n: [1] }, none: "", left: undefined, late: "x", errMsg: "getStorage:fail data not found",
  });
  assert.equal((await pageData(phone, "wx.removeStorageSync('kept'); tell({ it: wx.getStorageSync('kept') })")).it, "");
});

test("the clock of pages moves, and nobody else's", async () => {
  const phone = newPhone();
  const read = "tell({ now: Date.now(), date: +new Date(), then: new Date(2026, 0, 1).getFullYear() })";
  const start = Date.now();
  phone.later(25 * HOUR);
  const { now, date, then } = await pageData(phone, read);
  assert.ok(now - start >= 25 * HOUR && now - start < 26 * HOUR && date >= now);
  assert.equal(then, 2026);
  assert.ok(Date.now() - start < HOUR);
});

test("a page waits by setTimeout, and can think better of it", async () => {
  const commands = `const no = setTimeout(() => tell({ no: 1 }), 1); clearTimeout(no); setTimeout(tell, 1, { yes: 1 })`;
  assert.deepEqual(await pageData(newPhone(), commands), { yes: 1 });
});

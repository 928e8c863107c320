import assert from "node:assert/strict";
import { test } from "node:test";
import { asked, hide, load, pass, script, settled, sleep, storage, unload } from "./browser.mjs";
import { scan } from "../wxmint-web.mjs";

const GRANT = "urn:ietf:params:oauth:grant-type:device_code";
const DIRECT = { url: "https://login.example.com", clientId: "shop-web" };
const BACK_END = { start: "/scan", poll: "/scan/token" };
const TOKEN = { access_token: "eyJ", token_type: "Bearer", expires_in: 43200, user_id: "u1" };
const PENDING = [400, { error: "authorization_pending" }];
const SCANNED = [400, { error: "authorization_pending", scanned: true }];
const refused = (error, status = 400, headers) => [status, { error }, headers];

function code(n, more) {
  const [user_code, device_code] = [`WDJB-MJH${n}`, `device-${n}`];
  return [200, { device_code, user_code, match: "47", expires_in: 180, interval: 2, ...more }];
}

/** Starts a scan; `states` fills with what it tells, `result` with how it ends. */
function begin(options) {
  const told = { states: [] };
  const words = ({ status, code, error }) => [status, code?.user_code ?? error].filter(Boolean).join(" ");
  told.promise = scan({ ...DIRECT, ...options, onState: (state) => told.states.push(words(state)) });
  told.promise.then((last) => (told.last = last));
  return told;
}

/** The times at which /token was asked, in seconds from the start. */
const polls = () => asked.filter(({ path }) => path.endsWith("/token")).map(({ at }) => at);

test("a page asks wxmint as RFC 8628 has it, polls by interval, and ends with the token", async () => {
  load();
  script(code("T"), PENDING, SCANNED, SCANNED, [200, TOKEN]);
  const told = begin();
  await pass(8);
  assert.deepEqual(told.states, ["waiting WDJB-MJHT", "scanned WDJB-MJHT", "approved"]);
  assert.deepEqual(told.last, { status: "approved", answer: TOKEN });
  assert.deepEqual(asked[0], { at: 0, path: "https://login.example.com/device_authorization", headers: undefined, fields: { client_id: "shop-web" } });
  assert.deepEqual(asked[1].fields, { grant_type: GRANT, device_code: "device-T", client_id: "shop-web" });
  assert.deepEqual(polls(), [2, 4, 6, 8]);
  await pass(60);
  assert.equal(asked.length, 5);
});

test("a page with a back end names the user code, and sends the headers that it is given", async () => {
  load();
  script(code("T", { device_code: undefined }), PENDING, [200, { user: "u1" }]);
  const told = begin({ ...BACK_END, url: undefined, clientId: undefined, headers: { "x-csrf": "1" } });
  await pass(4);
  assert.deepEqual(told.last, { status: "approved", answer: { user: "u1" } });
  assert.deepEqual(asked.map(({ path, fields }) => [path, fields]), [["/scan", {}], ...Array(2).fill(["/scan/token", { user_code: "WDJB-MJHT" }])]);
  assert.ok(asked.every(({ headers }) => headers["x-csrf"] === "1"));
});

test("an interval that is not named is 5 s", async () => {
  load();
  script(code("T", { interval: undefined }), PENDING);
  begin();
  await pass(16);
  assert.deepEqual(polls(), [5, 10, 15]);
});

test("slow_down adds 5 s, for this code and for good", async () => {
  load();
  script(code("T"), refused("slow_down"), PENDING, refused("slow_down", 429), PENDING);
  begin();
  await pass(45);
  assert.deepEqual(polls(), [2, 9, 16, 28, 40]);
});

test("Retry-After is obeyed where it is longer than the interval", async () => {
  load();
  script(code("T"), refused("temporarily_unavailable", 503, { "retry-after": "20" }), refused("authorization_pending", 400, { "retry-after": "1" }), PENDING);
  begin();
  await pass(27);
  assert.deepEqual(polls(), [2, 22, 24, 26]);
});

for (const [what, answer] of [["no network", "lost"], ["a proxy's page", [502, "<html>"]], ["a hotel's page", [200, "<html>"]]]) {
  test(`${what}: the interval doubles until there is an answer`, async () => {
    load();
    script(code("T"), answer, answer, answer, PENDING, PENDING);
    const told = begin();
    await pass(36);
    assert.deepEqual(polls(), [2, 6, 14, 30, 32, 34, 36]);
    assert.deepEqual(told.states, ["waiting WDJB-MJHT"]);
  });
}

test("an answer that does not come is given up after 10 s", async () => {
  load();
  script(code("T"), "never", [200, TOKEN]);
  const told = begin();
  await pass(16);
  assert.deepEqual([polls(), told.last.status], [[2, 16], "approved"]);
});

test("a code that nobody has scanned is replaced 10 s before it expires, as often as the page allows", async () => {
  load();
  script(code("T"), PENDING);
  const told = begin({ codes: 2 });
  await pass(169);
  assert.equal(told.states.length, 1);
  script(code("V"), PENDING);
  await pass(4);
  assert.deepEqual(told.states, ["waiting WDJB-MJHT", "waiting WDJB-MJHV"]);
  assert.equal(asked.at(-1).fields.device_code, "device-V");
  await pass(180);
  assert.deepEqual(told.last, { status: "expired" });
});

test("a code that was scanned is kept until it expires", async () => {
  load();
  script(code("T"), SCANNED);
  const told = begin({ codes: 1 });
  await pass(179);
  assert.deepEqual(told.states, ["waiting WDJB-MJHT", "scanned WDJB-MJHT"]);
  assert.equal(polls().at(-1), 178);
  await pass(1);
  assert.deepEqual([told.last, polls().at(-1)], [{ status: "expired" }, 178]);
});

for (const error of ["expired_token", "invalid_grant"]) {
  test(`${error}: another code`, async () => {
    load();
    script(code("T"), refused(error), code("V"), PENDING);
    const told = begin();
    await pass(4);
    assert.deepEqual(told.states, ["waiting WDJB-MJHT", "waiting WDJB-MJHV"]);
  });
}

test("access_denied is the end", async () => {
  load();
  script(code("T"), SCANNED, refused("access_denied"));
  const told = begin();
  await pass(60);
  assert.deepEqual([told.states.at(-1), asked.length], ["denied", 3]);
});

test("a refusal that will not change is the end, with OAuth's error", async () => {
  load();
  script(code("T"), refused("invalid_client", 401));
  const told = begin();
  await pass(60);
  assert.deepEqual(told.last, { status: "failed", error: "invalid_client", answer: { error: "invalid_client" }, retryAfter: 0 });
  assert.equal(asked.length, 2);
});

test("a code is asked for four times, later and later, then the page may say so", async () => {
  load();
  script("lost");
  const told = begin();
  await pass(60);
  assert.deepEqual(asked.map(({ at }) => at), [0, 2, 6, 14]);
  assert.deepEqual(told.states, ["failed unavailable"]);
});

test("too many open requests: Retry-After is obeyed, unless it is longer than 5 min", async () => {
  load();
  script(refused("slow_down", 429, { "retry-after": "40" }), refused("slow_down", 429, { "retry-after": "86400" }));
  const told = begin();
  await pass(50);
  assert.deepEqual(asked.map(({ at }) => at), [0, 40]);
  assert.deepEqual(told.last, { status: "failed", error: "slow_down", answer: { error: "slow_down" }, retryAfter: 86400 });
});

test("a start that is no start is a failure, and nothing is polled", async () => {
  load();
  script([200, { hello: "world" }]);
  const told = begin();
  await pass(60);
  assert.deepEqual([told.states, asked.length], [["failed unavailable"], 1]);
});

test("a page that is loaded again goes on with its code, as scanned, and no sooner than the interval allows", async () => {
  load();
  script(code("T"), SCANNED, "never");
  begin();
  await pass(4.5);
  load(unload());
  script(PENDING, [200, TOKEN]);
  const told = begin();
  await pass(4);
  assert.deepEqual(told.states, ["scanned WDJB-MJHT", "approved"]);
  assert.deepEqual(asked.map(({ at, fields }) => [at, fields.device_code]), [[1.5, "device-T"], [3.5, "device-T"]]);
});

test("storage holds the code only while the page is loaded again: a duplicated tab has a code of its own", async () => {
  load();
  script(code("T"), PENDING);
  begin();
  await pass(3);
  assert.ok(!JSON.stringify(storage).includes("device-T"));
  const { kept } = unload();
  const [[name, value]] = Object.entries(kept);
  assert.equal(name, "wxmint.scan shop-web");
  assert.deepEqual(Object.keys(JSON.parse(value)).sort(), ["device_code", "expires_in", "interval", "match", "next", "until", "user_code"]);
  dispatchEvent(new Event("pageshow")); // back from the browser's cache
  assert.ok(!JSON.stringify(storage).includes("device-T"));
});

for (const [what, taken, shown, polled] of [
  ["that another page has taken is not polled with again, and a new one is shown", true, ["waiting WDJB-MJHT", "waiting WDJB-MJHV"], ["V"]],
  ["that nobody has taken is gone on with", false, ["waiting WDJB-MJHT"], ["T"]],
]) {
  for (const order of [["visibilitychange", "pageshow"], ["pageshow", "visibilitychange"]]) {
    test(`back from the browser's cache, ${order}: a code ${what}`, async () => {
      load();
      script(code("T"), PENDING);
      const told = begin({ codes: taken ? 2 : 1 });
      await pass(3);
      unload();
      if (taken) storage["wxmint.scan shop-web"] = "null";
      sleep(60); // as in the cache
      asked.length = 0;
      script(...(taken ? [code("V")] : []), PENDING);
      for (const event of order) {
        (event === "pageshow" ? globalThis : document).dispatchEvent(new Event(event));
        await settled();
      }
      await pass(9);
      assert.deepEqual([...new Set(told.states)], shown);
      assert.deepEqual([...new Set(asked.map(({ fields }) => fields.device_code).filter(Boolean))], polled.map((name) => `device-${name}`));
    });
  }
}

test("an ended scan leaves nothing behind", async () => {
  load();
  script(code("T"), [200, TOKEN]);
  begin();
  await pass(2);
  assert.ok(!/device-T|eyJ/.test(JSON.stringify(unload().kept)));
});

for (const [what, kept] of [["an expired code", { until: 1 }], ["nonsense", "{"]]) {
  test(`${what} in the storage is not used`, async () => {
    load({ kept: { "wxmint.scan shop-web": typeof kept === "string" ? kept : JSON.stringify(kept) } });
    script(code("V"), PENDING);
    const told = begin();
    await settled();
    assert.deepEqual(told.states, ["waiting WDJB-MJHV"]);
  });
}

test("a browser without storage scans all the same", async () => {
  load();
  Object.defineProperty(globalThis, "sessionStorage", { configurable: true, get: () => assert.fail("SecurityError") });
  script(code("T"), [200, TOKEN]);
  const told = begin();
  await pass(2);
  dispatchEvent(new Event("pagehide"));
  Object.defineProperty(globalThis, "sessionStorage", { configurable: true, writable: true, value: undefined });
  assert.equal(told.last.status, "approved");
});

test("a hidden page polls no more than every interval, and at once when it is shown late", async () => {
  load();
  script(code("T"), PENDING);
  begin();
  await pass(3);
  hide(true);
  hide(false);
  await settled();
  assert.deepEqual(polls(), [2]);
  hide(true);
  sleep(60); // the browser holds its timers back
  hide(false);
  await settled();
  assert.deepEqual(polls(), [2, 63]);
  await pass(2);
  assert.deepEqual(polls(), [2, 63, 65]);
});

test("a hidden page asks for no other code until it is shown", async () => {
  load();
  script(code("T"), PENDING);
  const told = begin();
  await pass(100);
  hide(true);
  await pass(3600);
  assert.equal(polls().at(-1), 168);
  script(code("V"), PENDING);
  hide(false);
  await pass(1);
  assert.deepEqual(told.states, ["waiting WDJB-MJHT", "waiting WDJB-MJHV"]);
});

test("a signal stops it: between two polls, in a request, before it has begun", async () => {
  for (const [answer, seconds] of [[PENDING, 3], ["never", 3], [code("T"), 0]]) {
    load();
    script(code("T"), answer);
    const stopper = new AbortController();
    if (!seconds) stopper.abort();
    const told = begin({ signal: stopper.signal });
    await pass(seconds);
    stopper.abort();
    assert.equal(await told.promise, undefined);
    await pass(60);
    assert.equal(asked.length, seconds ? 2 : 0);
    assert.ok(!told.states.includes("failed"));
    assert.ok(!JSON.stringify(unload().kept).includes("device-T"));
  }
});

test("what the page's own onState throws is the page's", async () => {
  load();
  script(code("T"));
  await assert.rejects(scan({ ...DIRECT, onState: () => assert.fail("mine") }), /mine/);
});

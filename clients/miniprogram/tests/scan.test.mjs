// Scan to log in: the phone's side.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Fail, ORDERS, Phone, answer, bindingRequired, problem, rejected, settled } from "./phone.mjs";

const USER_CODE = "WDJBMJHT";
const DEVICE = `/device/${USER_CODE}`;
const [APPROVE, DENY] = [`${DEVICE}/approve`, `${DEVICE}/deny`];
const TOLD = {
  client_id: "shop-web",
  client_name: "晨光商城 网页版",
  address: "203.0.113.0/24",
  user_agent: "Chrome on Windows",
  requested_at: 1_800_000_000,
  expires_in: 171,
};
const DETAILS = {
  clientId: "shop-web",
  clientName: "晨光商城 网页版",
  address: "203.0.113.0/24",
  userAgent: "Chrome on Windows",
  requestedAt: 1_800_000_000,
  expiresIn: 171,
};

const sent = (phone) => phone.calls(APPROVE).map(({ options }) => [options.data, options.header.Authorization]);

test("scanned reads a mini-program code's scene, and the URL of a QR code, in every spelling of RFC 8628", () => {
  const client = new Phone().client();
  const url = `https://login.example.com/device?user_code=`;
  for (const options of [
    { scene: USER_CODE },
    { scene: "wdjb-mjht" },
    { scene: encodeURIComponent(" Wdjb - mJht\t") },
    { scene: "%57DJBMJHT", other: 1 },
    { q: encodeURIComponent(`${url}WDJB-MJHT`) },
    { q: encodeURIComponent(`${url}wdjb%20mjht#top`) },
    { q: encodeURIComponent("https://login.example.com/wxmint/device?from=web&user_code=WDJBMJHT&x=1") },
    { q: `${url}WDJB-MJHT` },
    { scene: "", q: encodeURIComponent(`${url}WDJBMJHT`) },
  ]) {
    assert.deepEqual(client.scanned(options), { userCode: USER_CODE }, JSON.stringify(options));
  }
});

test("whatever is no user code is null, and no crash", () => {
  const client = new Phone().client();
  for (const text of [
    "WDJBMJH",
    "WDJBMJHTT",
    "WDJBMJHA",
    "WDJBMJH7",
    "WDJB_MJHT",
    "WDJB/MJHT",
    "WDJB+MJHT",
    "WDJBMJHß",
    "WDJBMJH\u212a",
    "%",
    "%E4%A8",
    "",
    " ",
    7,
    null,
    {},
    ["WDJBMJHT"],
    "x".repeat(99_999),
  ]) {
    assert.equal(client.scanned({ scene: text }), null, String(text));
    assert.equal(client.scanned({ q: text }), null, String(text));
    if (typeof text === "string") assert.equal(client.scanned({ q: `https://login.example.com/device?user_code=${text}` }), null, String(text));
  }
  for (const options of [undefined, null, "text", {}, { q: "https://login.example.com/device?my_user_code=WDJBMJHT" }])
    assert.equal(client.scanned(options), null);
});

test("scanned asks nobody", () => {
  const phone = new Phone();
  phone.client().scanned({ scene: USER_CODE });
  assert.deepEqual(phone.asked, []);
});

test("device tells what asks, and has choices only if wxmint sends some", async () => {
  const phone = new Phone();
  const client = phone.client();
  const choices = ["12", "47", "83"];
  phone.answers(DEVICE, answer(200, { ...TOLD, choices, more: 1 }), answer(200, TOLD));
  assert.deepEqual(await client.device(USER_CODE), { ...DETAILS, choices });
  const plain = await client.device(USER_CODE);
  assert.deepEqual(plain, DETAILS);
  assert.ok(!("choices" in plain), "setData refuses undefined");
  assert.deepEqual(phone.paths(), ["wx.login", "/login", DEVICE, DEVICE]);
  assert.deepEqual(phone.tokensSent(DEVICE), Array(2).fill("Bearer token-0001"));
  assert.equal(phone.asked[2].options.method, "GET");
});

test("a 401 to device and to deny is answered by one login, as for any request", async () => {
  const phone = new Phone();
  const client = await phone.loggedIn();
  phone.refused.add("Bearer token-0001");
  await client.deny(USER_CODE);
  assert.deepEqual(phone.tokensSent(DENY), ["Bearer token-0001", "Bearer token-0002"]);
  phone.refused.add("Bearer token-0002");
  phone.script = ({ path, options }) =>
    path === DEVICE && !phone.refused.has(options.header.Authorization) ? answer(200, TOLD) : undefined;
  assert.deepEqual(await client.device(USER_CODE), DETAILS);
  assert.equal(phone.count("/login"), 2);
});

test("a code in a path of its own: nothing that is handed in leads to another route", async () => {
  const phone = new Phone();
  const client = await phone.loggedIn();
  await client.deny("../binding?x=#");
  assert.deepEqual(phone.paths(), ["/device/..%2Fbinding%3Fx%3D%23/deny"]);
});

test("approve sends a new code, the number and the token, and resolves with nothing", async () => {
  const phone = new Phone();
  const client = await phone.loggedIn();
  assert.equal(await client.approve(USER_CODE, { match: "47" }), undefined);
  assert.equal(await client.approve(USER_CODE), undefined);
  assert.deepEqual(phone.paths(), ["wx.login", APPROVE, "wx.login", APPROVE]);
  assert.equal(phone.asked[1].options.method, "POST");
  assert.deepEqual(sent(phone), [
    [{ code: "code-0002", match: "47" }, "Bearer token-0001"],
    [{ code: "code-0003" }, "Bearer token-0001"],
  ]);
  assert.deepEqual([phone.events, client.state().status], [[], "logged_in"]);
  await client.login();
  assert.deepEqual(phone.tokensSent("/login"), [undefined], "a login says itself who it is");
});

test("without a valid token approve sends none, and logs nobody in", async () => {
  const phone = new Phone();
  const client = phone.client({ appid: "wx01" });
  await client.approve(USER_CODE, { match: "47" });
  assert.deepEqual(sent(phone), [[{ code: "code-0001", appid: "wx01", match: "47" }, undefined]]);
  assert.deepEqual([phone.count("/login"), client.state().status, phone.events], [0, "none", []]);
});

test("an answer that looks like a token's is not taken for one", async () => {
  const phone = new Phone();
  const client = phone.client();
  phone.answers(APPROVE, answer(200, phone.granted()));
  assert.equal((await rejected(client.approve(USER_CODE))).code, "unavailable");
  assert.deepEqual([client.state().status, phone.storage.size], ["none", 0]);
});

test("a spent code is answered by one new wx.login; the second refusal is the caller's", async () => {
  for (const code of ["code_invalid", "code_used"]) {
    const phone = new Phone();
    const client = await phone.loggedIn();
    phone.answers(APPROVE, problem(400, code));
    await client.approve(USER_CODE, { match: "47" });
    phone.answers(APPROVE, problem(400, code), problem(400, code));
    assert.equal((await rejected(client.approve(USER_CODE))).code, code);
    const codes = sent(phone).map(([data]) => data.code);
    assert.deepEqual(codes, ["code-0002", "code-0003", "code-0004", "code-0005"]);
  }
});

test("a 401 ends the token; the approval is sent once more, with a new code, and the newer token or none", async () => {
  const phone = new Phone();
  const client = await phone.loggedIn();
  phone.refused.add("Bearer token-0001");
  await client.approve(USER_CODE);
  assert.deepEqual(sent(phone), [
    [{ code: "code-0002" }, "Bearer token-0001"],
    [{ code: "code-0003" }, undefined],
  ]);
  assert.deepEqual([phone.events.map(({ type }) => type), client.state().status], [["ended"], "none"]);

  await client.login();
  phone.answers(APPROVE, answer(401), answer(401));
  assert.equal((await rejected(client.approve(USER_CODE))).status, 401);
  phone.answers(APPROVE, answer(401));
  assert.equal((await rejected(client.approve(USER_CODE))).status, 401, "no token was sent");
  assert.equal(sent(phone).length, 5);
});

test("refusals of wxmint's own reach the page, and leave the token", async () => {
  for (const [status, code] of [
    [404, "unknown_device_code"],
    [403, "number_mismatch"],
    [403, "forbidden"],
  ]) {
    const phone = new Phone();
    const client = await phone.loggedIn();
    phone.script = ({ path }) => (path.startsWith(DEVICE) ? problem(status, code) : undefined);
    for (const call of [client.device(USER_CODE), client.approve(USER_CODE), client.deny(USER_CODE)]) {
      const error = await rejected(call);
      assert.deepEqual([error.code, error.status], [code, status]);
    }
    assert.deepEqual([client.state().status, phone.count(APPROVE)], ["logged_in", 1]);
  }
});

test("binding_required and user_blocked end an approval as they end a login", async () => {
  const phone = new Phone();
  const client = await phone.loggedIn();
  phone.answers(APPROVE, bindingRequired(), problem(403, "user_blocked"));
  const error = await rejected(client.approve(USER_CODE));
  assert.deepEqual([error.code, client.state().status], ["binding_required", "binding_required"]);
  assert.deepEqual(phone.events, [{ type: "binding_required", error }]);
  for (const call of [client.approve(USER_CODE), client.device(USER_CODE)]) assert.equal(await rejected(call), error);
  assert.equal(phone.count(APPROVE), 1);

  await client.bind({ username: "lin", password: "jasmine-tea" });
  assert.equal(phone.logins().at(-1).bind_ticket, "ticket-0001");
  assert.equal((await rejected(client.approve(USER_CODE))).code, "user_blocked");
  assert.equal(client.state().status, "user_blocked");
  await client.login();
  await client.approve(USER_CODE);
});

test("Retry-After holds for approvals and logins alike, whichever was told", async () => {
  for (const [path, first, then] of [
    [APPROVE, "approve", "login"],
    ["/login", "login", "approve"],
  ]) {
    const phone = new Phone();
    const client = phone.client();
    phone.answers(path, problem(429, "rate_limited", { retry_after: 9 }));
    const error = await rejected(client[first](first === "approve" ? USER_CODE : undefined));
    const before = phone.asked.length;
    for (const call of [client.approve(USER_CODE), client[then](then === "approve" ? USER_CODE : undefined)])
      assert.equal(await rejected(call), error);
    assert.equal(phone.asked.length, before);
    phone.later(9);
    await client.approve(USER_CODE);
  }
});

test("a lost answer is offline, and the caller may approve again", async () => {
  const phone = new Phone();
  const client = await phone.loggedIn();
  phone.answers(APPROVE, new Fail());
  assert.equal((await rejected(client.approve(USER_CODE))).code, "offline");
  assert.equal(phone.count(APPROVE), 1);
  await client.approve(USER_CODE);
  assert.equal(new Set(sent(phone).map(([data]) => data.code)).size, 2);
});

test("an approval waits for a login in flight, and no request waits for an approval", async () => {
  const phone = new Phone();
  const client = phone.client();
  const release = phone.hold("/login");
  const [login, approval] = [client.login(), client.approve(USER_CODE)];
  await settled();
  assert.equal(phone.count(APPROVE), 0);
  const releaseApproval = phone.hold(APPROVE);
  await release();
  await login;
  assert.equal(sent(phone)[0][1], "Bearer token-0001");
  assert.equal((await client.request({ url: ORDERS })).statusCode, 200);
  await releaseApproval();
  await approval;
});

test("a logged-out phone approves nothing, and a logout during wx.login keeps the approval back", async () => {
  const phone = new Phone();
  const client = await phone.loggedIn();
  const release = phone.hold("wx.login");
  const approval = rejected(client.approve(USER_CODE));
  await client.logout();
  await release();
  assert.equal((await approval).code, "logged_out");
  assert.equal((await rejected(client.approve(USER_CODE))).code, "logged_out");
  assert.equal((await rejected(phone.client().approve(USER_CODE))).code, "logged_out", "after a restart");
  assert.equal(phone.count(APPROVE), 0);
});

test("a refusal that comes after a logout bars nobody who logs in later", async () => {
  const phone = new Phone();
  const client = await phone.loggedIn();
  const release = phone.hold(APPROVE);
  const approval = rejected(client.approve(USER_CODE));
  await settled();
  await client.logout();
  await client.login();
  phone.answers(APPROVE, bindingRequired());
  await release();
  assert.equal((await approval).code, "binding_required");
  assert.equal(client.state().status, "logged_in");
});

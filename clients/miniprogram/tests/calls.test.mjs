// The table of calls, `state()`, "Errors" and "Events" of the contract.

import assert from "node:assert/strict";
import { test } from "node:test";

import {
  DAY,
  Fail,
  ORDERS,
  Phone,
  WxmintError,
  answer,
  bindingRequired,
  createClient,
  problem,
  rejected,
  settled,
} from "./phone.mjs";

const SEALED = { encryptedData: "c2VhbGVk", iv: "aXY=" };

test("url: with or without a slash at the end, perhaps with a path", async () => {
  for (const [url, path] of [
    ["https://login.example.com", "/login"],
    ["https://login.example.com/", "/login"],
    ["https://login.example.com//", "/login"],
    ["https://example.com/wxmint", "/wxmint/login"],
    ["https://example.com/wxmint/", "/wxmint/login"],
  ]) {
    const phone = new Phone();
    await phone.client({ url }).login();
    assert.equal(phone.paths()[1], path);
  }
});

test("the url is the only option that must be given: the platform is wx, if there is one by then", async () => {
  const phone = new Phone();
  globalThis.wx = phone.platform;
  try {
    await createClient({ url: "https://login.example.com" }).login();
    assert.equal(phone.count("/login"), 1);
  } finally {
    delete globalThis.wx;
  }
  for (const url of [undefined, "", "login.example.com", "https:login.example.com"]) {
    assert.throws(() => createClient({ url, platform: phone.platform }), /`url` must begin with https/);
  }
});

test("the calls work without their object", async () => {
  const phone = new Phone();
  const { request, login, state, session } = phone.client();
  await login();
  await request({ url: ORDERS });
  await session.reset();
  assert.equal(state().status, "logged_in");
});

test("userData sends what WeChat has sealed or signed, and resolves with its data", async () => {
  const phone = new Phone();
  const client = await phone.loggedIn();
  const steps = { stepInfoList: [] };
  phone.answers("/wechat/userdata", answer(200, { data: steps }), answer(200, { data: { nickName: "lin" } }));
  assert.equal(await client.userData({ ...SEALED, errMsg: "getWeRunData:ok" }), steps);
  const signed = { rawData: "{}", signature: "00ff" };
  assert.deepEqual(await client.userData(signed), { nickName: "lin" });
  const [first, second] = phone.asked.map(({ options }) => [
    options.method,
    options.header.Authorization,
    options.data,
  ]);
  assert.deepEqual(
    [first, second],
    [
      ["POST", "Bearer token-0001", SEALED],
      ["POST", "Bearer token-0001", signed],
    ],
  );
});

test("phone resolves with the three texts", async () => {
  const phone = new Phone();
  const client = await phone.loggedIn();
  const number = { phoneNumber: "+8613800138000", purePhoneNumber: "13800138000", countryCode: "86" };
  phone.answers("/wechat/phone", answer(200, { ...number, more: 1 }));
  assert.deepEqual(await client.phone("phone-0001"), number);
  const [{ path, options }] = phone.asked;
  assert.deepEqual([path, options.method, options.data], ["/wechat/phone", "POST", { code: "phone-0001" }]);
});

test("session.valid() is a boolean, session.reset() nothing", async () => {
  const phone = new Phone();
  const client = await phone.loggedIn();
  phone.answers("/wechat/session", answer(200, { valid: true }), answer(200, { valid: false }));
  assert.deepEqual(
    [await client.session.valid(), await client.session.valid(), await client.session.reset()],
    [true, false, undefined],
  );
  assert.deepEqual(
    phone.asked.map(({ path, options }) => [options.method, path]),
    [
      ["GET", "/wechat/session"],
      ["GET", "/wechat/session"],
      ["POST", "/wechat/session/reset"],
    ],
  );
});

test("calls at wxmint log in if there is no token, and a 401 to them is answered like any other", async () => {
  const phone = new Phone();
  const client = phone.client();
  await client.session.reset();
  phone.refused.add("Bearer token-0001");
  await client.session.reset();
  assert.deepEqual(phone.tokensSent("/wechat/session/reset"), [
    "Bearer token-0001",
    "Bearer token-0001",
    "Bearer token-0002",
  ]);
  phone.answers("/wechat/session/reset", answer(401), problem(401, "invalid_token"));
  assert.equal((await rejected(client.session.reset())).code, "invalid_token");
});

const CALLS = {
  userData: (client) => client.userData(SEALED),
  phone: (client) => client.phone("phone-0001"),
  valid: (client) => client.session.valid(),
  reset: (client) => client.session.reset(),
  unbind: (client) => client.unbind(),
  device: (client) => client.device("BCDFGHJK"),
  approve: (client) => client.approve("BCDFGHJK", { match: "47" }),
  deny: (client) => client.deny("BCDFGHJK"),
  logout: (client) => client.logout(),
  login: (client) => client.login(),
};

for (const [name, call] of Object.entries(CALLS)) {
  test(`${name} rejects with a WxmintError: wxmint's own code, unavailable for what is not wxmint's, offline without an answer`, async () => {
    const refusals = [
      problem(422, "decryption_failed"),
      problem(429, "rate_limited", { retry_after: 3 }),
      problem(500, "internal_error"),
    ];
    const others = [
      answer(502, "<html>bad gateway"),
      answer(200, "<html>welcome to the hotel"),
      answer(200, { code: "rate_limited" }),
      answer(403, "{}"),
      answer(403, { code: 7 }),
      answer(403, { code: "Forbidden.ByGateway" }),
      answer(404, null),
      answer(500),
      answer(302, "", { Location: "/" }),
    ];
    const cause = { errMsg: "request:fail timeout", errno: 5, exception: { reasons: [{ errMsg: "timeout" }] } };
    for (const given of [...refusals, ...others, new Fail(cause)]) {
      const phone = new Phone();
      const client = await phone.loggedIn();
      const before = phone.script;
      phone.script = (call) => (call.path === "wx.login" ? before(call) : given);
      const error = await rejected(call(client));
      assert.ok(error instanceof WxmintError && error instanceof Error);
      assert.equal(error.name, "WxmintError");
      assert.ok(typeof error.message === "string" && error.message);
      if (given instanceof Fail) {
        assert.deepEqual([error.code, error.status, error.cause === cause], ["offline", 0, true]);
        assert.equal(error.message, "request:fail timeout");
      } else {
        const expected = refusals.includes(given) ? given.data.code : "unavailable";
        assert.deepEqual([error.code, error.status, error.cause], [expected, given.statusCode, undefined]);
        if (refusals.includes(given))
          assert.deepEqual(
            [error.message, error.requestId, error.retryAfter],
            [given.data.detail, "r-1", given.data.retry_after],
          );
      }
    }
  });
}

test("requestId comes from the header where the body has none, however it is spelled", async () => {
  for (const name of ["X-Request-Id", "x-request-id", "X-REQUEST-ID"]) {
    const phone = new Phone();
    phone.answers("/login", answer(502, "<html>", { [name]: "r-2" }));
    assert.equal((await rejected(phone.client().login())).requestId, "r-2");
  }
});

test("answers of odd shapes are no crash", async () => {
  for (const given of [
    undefined,
    null,
    7,
    "text",
    [],
    {},
    { statusCode: "200" },
    { statusCode: 200, data: null, header: null },
    { statusCode: 403, data: [], header: [] },
  ]) {
    const phone = new Phone();
    const client = phone.client({ platform: { ...phone.platform, request: ({ success }) => success(given) } });
    assert.equal((await rejected(client.login())).code, "unavailable");
    assert.equal(await client.request({ url: ORDERS, auth: "none" }), given);
  }
});

test("what is called without what it needs is wxmint's to refuse, not a crash", async () => {
  for (const call of [
    (client) => client.bind(),
    (client) => client.userData(),
    (client) => client.login(null),
    (client) => client.login("lin"),
    (client) => client.phone(),
    (client) => client.device(),
    (client) => client.approve(),
  ]) {
    const phone = new Phone();
    const before = phone.script;
    phone.script = (asked) => (asked.path === "wx.login" ? before(asked) : problem(400, "invalid_request"));
    assert.equal((await rejected(call(phone.client()))).code, "invalid_request");
  }
});

test("a fail without a cause is offline too", async () => {
  for (const cause of [undefined, null, "text", 7, new Error("no network")]) {
    const phone = new Phone();
    phone.answers("wx.login", new Fail(cause));
    const client = phone.client();
    if (cause === undefined) phone.platform.login = ({ fail }) => fail();
    const error = await rejected(client.login());
    assert.deepEqual([error.code, error.status, error.cause === cause], ["offline", 0, true]);
    assert.ok(error.message);
  }
});

test("state() tells the first that is true of logged_in, logging_in, logged_out, binding_required and user_blocked, or none", async () => {
  const phone = new Phone();
  const client = phone.client();
  const nobody = (status) => assert.deepEqual(client.state(), { status, userId: undefined });
  nobody("none");
  const login = client.login();
  nobody("logging_in");
  await login;
  assert.deepEqual(client.state(), { status: "logged_in", userId: "user-of-lin" });
  const again = client.login();
  assert.equal(client.state().status, "logged_in", "the token is still valid");
  await again;
  phone.later(DAY);
  nobody("none");
  phone.answers("/login", bindingRequired(), problem(403, "user_blocked"), new Fail());
  await rejected(client.login());
  nobody("binding_required");
  await rejected(client.login());
  nobody("user_blocked");
  await rejected(client.login());
  nobody("user_blocked");
  await client.logout();
  nobody("logged_out");
});

test("login events come after each login, when the client is ready for what they call", async () => {
  const phone = new Phone();
  const seen = [];
  const client = phone.client({ onEvent: (event) => seen.push([event, client.state().status]) });
  phone.answers("/login", answer(200, phone.granted({ new_user: true })));
  await client.login();
  await client.login();
  const event = { type: "login", userId: "user-of-lin" };
  assert.deepEqual(seen, [
    [{ ...event, newUser: true }, "logged_in"],
    [{ ...event, newUser: false }, "logged_in"],
  ]);
});

test("binding_required comes once for each login that ends so", async () => {
  const phone = new Phone();
  const client = phone.client();
  phone.answers("/login", bindingRequired(), bindingRequired("ticket-0002"));
  const errors = await Promise.all([1, 2, 3].map(() => rejected(client.request({ url: ORDERS }))));
  await rejected(client.token());
  assert.deepEqual(phone.events, [{ type: "binding_required", error: errors[0] }]);
  await rejected(client.login());
  assert.equal(phone.events.length, 2);
});

test("ended comes once when a service has refused a token that the phone held for valid, before the new login", async () => {
  const phone = new Phone();
  const seen = [];
  const client = await phone.loggedIn({ onEvent: (event) => seen.push([event, phone.count("wx.login")]) });
  seen.length = 0;
  phone.refused.add("Bearer token-0001");
  await Promise.all(Array.from({ length: 9 }, () => client.request({ url: ORDERS })));
  assert.deepEqual(seen, [
    [{ type: "ended", userId: "user-of-lin" }, 0],
    [{ type: "login", userId: "user-of-lin", newUser: false }, 1],
  ]);
});

test("logout comes when the phone has forgotten the token, once", async () => {
  const phone = new Phone();
  const seen = [];
  const client = await phone.loggedIn({ onEvent: ({ type }) => seen.push([type, client.state().status]) });
  seen.length = 0;
  const told = client.logout();
  assert.deepEqual(seen, [["logout", "logged_out"]]);
  await told;
  await client.logout();
  assert.equal(seen.length, 1);
});

test("what onEvent throws is ignored, and so is a promise of it that rejects", async () => {
  const unhandled = [];
  const note = (reason) => unhandled.push(reason);
  process.on("unhandledRejection", note);
  const throwing = () => {
    throw new Error("theirs");
  };
  for (const onEvent of [throwing, async () => throwing()]) {
    const phone = new Phone();
    const client = phone.client({ onEvent });
    phone.answers("/login", bindingRequired());
    assert.equal((await rejected(client.login())).code, "binding_required");
    await client.login();
    phone.refused.add("Bearer token-0001");
    assert.equal((await client.request({ url: ORDERS })).statusCode, 200);
    await client.logout();
  }
  await settled();
  process.off("unhandledRejection", note);
  assert.deepEqual(unhandled, []);
});

test("onEvent may call the client", async () => {
  const account = { username: "lin", password: "jasmine-tea" };
  const phone = new Phone();
  const bound = [];
  const client = phone.client({
    onEvent: ({ type }) => type === "binding_required" && bound.push(client.bind(account)),
  });
  phone.answers("/login", bindingRequired());
  await rejected(client.request({ url: ORDERS }));
  await bound[0];
  assert.equal(phone.logins()[1].bind_ticket, "ticket-0001");

  const other = new Phone();
  const logins = [];
  const second = other.client({ onEvent: ({ type }) => type === "ended" && logins.push(second.login()) });
  await second.login();
  other.refused.add("Bearer token-0001");
  assert.equal((await second.request({ url: ORDERS })).statusCode, 200);
  await logins[0];
  assert.equal(other.count("/login"), 2, "one login for both");

  const third = new Phone();
  const leaving = third.client({ onEvent: ({ type }) => type === "ended" && leaving.logout() });
  await leaving.login();
  third.refused.add("Bearer token-0001");
  assert.equal((await rejected(leaving.request({ url: ORDERS }))).code, "logged_out");
  assert.equal(third.count("/login"), 1);
});

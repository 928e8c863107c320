// "The login" of the contract.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Fail, ORDERS, Phone, WxmintError, answer, bindingRequired, problem, rejected, settled } from "./phone.mjs";

const LIN = { username: "lin", password: "jasmine-tea" };
const rest = (phone) => [phone.count("wx.login"), phone.count("/login")];

test("fifty requests of a cold start make one login", async () => {
  const phone = new Phone();
  const client = phone.client();
  const answers = await Promise.all(Array.from({ length: 50 }, () => client.request({ url: ORDERS })));
  assert.deepEqual(rest(phone), [1, 1]);
  assert.deepEqual(new Set(answers.map(({ data }) => data.got)), new Set(["Bearer token-0001"]));
});

test("login() without an account, login({}) and token() wait for the login in flight", async () => {
  const phone = new Phone();
  const client = phone.client();
  const all = await Promise.all([client.request({ url: ORDERS }), client.login(), client.login({}), client.token()]);
  assert.deepEqual(rest(phone), [1, 1]);
  assert.deepEqual(all.slice(1), [...Array(2).fill({ userId: "user-of-lin", newUser: false }), "token-0001"]);
});

test("login() is always a new login, also with a valid token", async () => {
  const phone = new Phone();
  const client = await phone.loggedIn();
  phone.answers("/login", answer(200, phone.granted({ new_user: true })));
  assert.deepEqual(await client.login(), { userId: "user-of-lin", newUser: true });
  assert.deepEqual(rest(phone), [1, 1]);
  assert.equal(await client.token(), "token-0002");
  assert.equal(phone.count("/login"), 1, "token() needs none");
});

test("login(account) and bind(account) wait for the login in flight, and make their own one after the other", async () => {
  const phone = new Phone();
  const client = phone.client();
  const release = phone.hold("/login");
  const all = [client.token(), client.login(LIN), client.bind({ phoneCode: "phone-0001" })];
  await settled();
  assert.equal(phone.count("/login"), 1);
  await release(1);
  assert.equal(phone.count("/login"), 2);
  await release();
  await Promise.all(all);
  assert.deepEqual(phone.logins(), [
    { code: "code-0001" },
    { code: "code-0002", ...LIN },
    { code: "code-0003", phone_code: "phone-0001" },
  ]);
});

test("login(account) is made although the login in flight failed", async () => {
  const phone = new Phone();
  const client = phone.client();
  phone.answers("/login", new Fail());
  const [token, login] = await Promise.all([rejected(client.token()), client.login(LIN)]);
  assert.deepEqual([token.code, login.userId], ["offline", "user-of-lin"]);
});

test("the appid is sent with each login if given, and nothing that is not", async () => {
  const phone = new Phone();
  phone.answers("/login", bindingRequired());
  const client = phone.client({ appid: "wx01" });
  await rejected(client.token());
  await client.bind(LIN);
  assert.deepEqual(phone.logins(), [
    { code: "code-0001", appid: "wx01" },
    { bind_ticket: "ticket-0001", appid: "wx01", ...LIN },
  ]);
  const [login] = phone.calls("/login");
  assert.equal(login.options.method, "POST", "passwords travel in a POST's body");
  assert.equal(login.options.url, "https://login.example.com/login");
});

test("wx.login has ten seconds; if the platform is silent, whoever comes later logs in anew, and who waited is offline", async () => {
  const phone = new Phone();
  const client = phone.client();
  const release = phone.hold("wx.login");
  const waiting = [client.token(), client.request({ url: ORDERS }), client.login(LIN)];
  const [token, order] = waiting.slice(0, 2).map(rejected);
  await settled();
  assert.equal(phone.asked[0].options.timeout, 10_000);
  phone.later(10);
  client.token().catch(() => {});
  assert.equal(phone.count("wx.login"), 1, "not yet");
  phone.later(1);
  const again = client.token();
  assert.equal(phone.count("wx.login"), 2);
  for (const error of await Promise.all([token, order]))
    assert.deepEqual([error.code, error.message, error.cause], ["offline", "There was no answer.", undefined]);
  await release();
  assert.equal(await again, "token-0001");
  await waiting[2];
  assert.deepEqual(
    phone.logins().map(({ code }) => code),
    ["code-0002", "code-0003"],
    "a late code is not sent",
  );
});

test("only wx.login has ten seconds: a login that is under way to wxmint is waited for", async () => {
  const phone = new Phone();
  const client = phone.client();
  const release = phone.hold("/login");
  const first = client.token();
  await settled();
  phone.later(30);
  const second = client.token();
  await release();
  assert.deepEqual(await Promise.all([first, second]), ["token-0001", "token-0001"]);
  assert.deepEqual(rest(phone), [1, 1]);
});

for (const code of ["code_invalid", "code_used"]) {
  test(`${code} is answered by one new wx.login`, async () => {
    const phone = new Phone();
    phone.answers("/login", problem(400, code));
    assert.equal(await phone.client().token(), "token-0001");
    assert.deepEqual(phone.logins(), [{ code: "code-0001" }, { code: "code-0002" }], "each code is sent once");
  });

  test(`the second ${code} is the caller's`, async () => {
    const phone = new Phone();
    phone.answers("/login", problem(400, code), problem(400, code));
    const error = await rejected(phone.client().login(LIN));
    assert.deepEqual([error.code, error.status, ...rest(phone)], [code, 400, 2, 2]);
  });
}

for (const [what, given] of [
  ["offline", new Fail()],
  ["unavailable", answer(502, "<html>")],
  ["internal_error", problem(500, "internal_error")],
  ["wechat_unavailable", problem(503, "wechat_unavailable")],
  ["invalid_credentials", problem(403, "invalid_credentials")],
]) {
  test(`a login that ends in ${what} is not repeated by itself, and the next call begins another`, async () => {
    const phone = new Phone();
    const client = phone.client();
    phone.answers("/login", given);
    const errors = await Promise.all([1, 2, 3].map(() => rejected(client.request({ url: ORDERS }))));
    assert.deepEqual([errors[0].code, ...rest(phone), phone.count("/orders")], [what, 1, 1, 0]);
    assert.ok(
      errors.every((error) => error === errors[0]),
      "all who waited reject with it",
    );
    assert.equal((await client.request({ url: ORDERS })).statusCode, 200);
    assert.deepEqual(rest(phone), [2, 2]);
  });
}

test("wx.login without an answer is offline, and so is one without a code", async () => {
  const phone = new Phone();
  const client = phone.client();
  const cause = { errMsg: "login:fail" };
  phone.answers("wx.login", new Fail(cause), { errMsg: "login:ok" }, { code: "", errMsg: "login:ok" }, undefined);
  for (const expected of [cause, { errMsg: "login:ok" }, { code: "", errMsg: "login:ok" }]) {
    const error = await rejected(client.login());
    assert.deepEqual([error.code, error.status, error.cause], ["offline", 0, expected]);
  }
  assert.equal(phone.count("/login"), 0);
});

test("bind sends the kept ticket in place of a code, once", async () => {
  const phone = new Phone();
  const client = phone.client();
  phone.answers("/login", bindingRequired(), problem(403, "invalid_credentials"));
  await rejected(client.token());
  assert.equal((await rejected(client.bind({ ...LIN, password: "wrong-one" }))).code, "invalid_credentials");
  assert.equal(client.state().status, "binding_required");
  assert.deepEqual(await client.bind(LIN), { userId: "user-of-lin", newUser: false });
  assert.deepEqual(
    phone.logins().map(({ code, bind_ticket }) => code ?? bind_ticket),
    ["code-0001", "ticket-0001", "code-0002"],
  );
  assert.equal(client.state().status, "logged_in");
});

test("a ticket is forgotten by a login that succeeds, and by a logout", async () => {
  for (const before of [(client) => client.login(), (client) => client.logout()]) {
    const phone = new Phone();
    const client = phone.client();
    phone.answers("/login", bindingRequired());
    await rejected(client.token());
    await before(client);
    await client.bind(LIN);
    assert.ok(phone.logins().every(({ bind_ticket }) => !bind_ticket));
  }
});

test("a ticket whose answer was lost is not sent again", async () => {
  const phone = new Phone();
  const client = phone.client();
  phone.answers("/login", bindingRequired(), new Fail());
  await rejected(client.token());
  assert.equal((await rejected(client.bind(LIN))).code, "offline");
  await client.bind(LIN);
  assert.deepEqual(
    phone.logins().map(({ bind_ticket }) => bind_ticket),
    [undefined, "ticket-0001", undefined],
  );
});

test("where wxmint no longer accepts the ticket, bind makes a new wx.login, and neither the user nor onEvent notices", async () => {
  const phone = new Phone();
  const client = phone.client();
  phone.answers("/login", bindingRequired(), problem(400, "code_used"));
  await rejected(client.token());
  phone.events.length = 0;
  await client.bind(LIN);
  assert.deepEqual(phone.events, [{ type: "login", userId: "user-of-lin", newUser: false }]);
  assert.deepEqual(phone.logins().at(-1), { code: "code-0002", ...LIN });
});

test("where there is no ticket, after a restart, bind makes a new wx.login", async () => {
  const phone = new Phone();
  phone.answers("/login", bindingRequired());
  await rejected(phone.client().token());
  await phone.client().bind(LIN);
  assert.deepEqual(phone.logins().at(-1), { code: "code-0002", ...LIN });
});

test("of two taps on the button, both resolve", async () => {
  const phone = new Phone();
  const client = phone.client();
  phone.answers("/login", bindingRequired());
  await rejected(client.token());
  const results = await Promise.all([client.bind(LIN), client.bind(LIN)]);
  assert.deepEqual(
    results.map(({ userId }) => userId),
    ["user-of-lin", "user-of-lin"],
  );
  assert.deepEqual(phone.logins().slice(1), [
    { bind_ticket: "ticket-0001", ...LIN },
    { code: "code-0002", ...LIN },
  ]);
});

test("of two taps with one code of the phone button, both resolve, and the code is sent once", async () => {
  const phone = new Phone();
  const client = phone.client();
  phone.answers("/login", bindingRequired());
  await rejected(client.token());
  const account = { phoneCode: "phone-0001" };
  const [one, two] = await Promise.all([client.bind(account), client.bind({ ...account })]);
  assert.deepEqual(one, two);
  assert.equal(phone.logins().filter((body) => body.phone_code).length, 1);
});

for (const [code, given] of [
  ["binding_required", bindingRequired()],
  ["user_blocked", problem(403, "user_blocked")],
]) {
  test(`${code} is final: all who waited and each later call reject with the same error, without a login`, async () => {
    const phone = new Phone();
    const client = phone.client();
    phone.answers("/login", given);
    const waited = await Promise.all([
      rejected(client.request({ url: ORDERS })),
      rejected(client.token()),
      rejected(client.login()),
    ]);
    const later = [
      rejected(client.request({ url: ORDERS })),
      rejected(client.token()),
      rejected(client.session.valid()),
    ];
    for (const error of [...waited, ...(await Promise.all(later))]) assert.equal(error, waited[0]);
    assert.deepEqual([waited[0].code, ...rest(phone), phone.count("/orders")], [code, 1, 1, 0]);
    assert.deepEqual(client.state(), { status: code, userId: undefined });
    assert.equal((await client.request({ url: ORDERS, auth: "optional" })).statusCode, 200, "it needs no token");
    assert.equal((await client.login()).userId, "user-of-lin");
    assert.equal((await client.request({ url: ORDERS })).statusCode, 200, "until login() succeeds");
  });

  test(`${code} is forgotten by a restart`, async () => {
    const phone = new Phone();
    phone.answers("/login", given);
    await rejected(phone.client().token());
    const client = phone.client();
    assert.equal(client.state().status, "none");
    assert.equal(await client.token(), "token-0001");
  });

  test(`${code} to a later login takes the token away, also from storage`, async () => {
    const phone = new Phone();
    const client = await phone.loggedIn();
    phone.answers("/login", given);
    await rejected(client.login());
    assert.deepEqual([client.state().status, phone.client().state().status], [code, "none"]);
  });
}

for (const [status, code] of [
  [429, "rate_limited"],
  [503, "wechat_unavailable"],
]) {
  test(`after ${status} with Retry-After every call that would log in fails at once with the same error, until then`, async () => {
    const phone = new Phone();
    const client = phone.client();
    phone.answers("/login", problem(status, code, { retry_after: 30 }));
    const first = await rejected(client.request({ url: ORDERS }));
    assert.deepEqual([first.code, first.status, first.retryAfter], [code, status, 30]);
    phone.later(29.9);
    const calls = [
      client.request({ url: ORDERS }),
      client.token(),
      client.login(),
      client.login(LIN),
      client.bind(LIN),
      client.phone("phone-0001"),
    ];
    for (const error of await Promise.all(calls.map(rejected))) assert.equal(error, first);
    assert.deepEqual(rest(phone), [1, 1]);
    assert.equal((await client.request({ url: ORDERS, auth: "none" })).statusCode, 200);
    phone.later(0.1);
    assert.equal((await client.request({ url: ORDERS })).statusCode, 200);
  });
}

test("Retry-After is obeyed however its header is spelled, by a proxy's 503 too, and after a second code", async () => {
  for (const given of [
    [answer(503, "<html>", { "retry-after": 7 })],
    [answer(429, { code: "rate_limited" }, { "RETRY-AFTER": "7" })],
    [problem(400, "code_used"), problem(429, "rate_limited", { retry_after: 7 })],
  ]) {
    const phone = new Phone();
    const client = phone.client();
    phone.answers("/login", ...given);
    const first = await rejected(client.token());
    assert.equal(first.retryAfter, 7);
    phone.later(6);
    assert.equal(await rejected(client.login()), first);
    phone.later(1);
    await client.login();
  }
});

test("nobody, wxmint itself included, can keep a phone out for longer than 5 minutes with Retry-After", async () => {
  for (const given of [
    answer(503, "<html>", { "Retry-After": "86400" }),
    answer(503, "<html>", { "Retry-After": "Infinity" }),
    problem(429, "rate_limited", { retry_after: 3600 }),
  ]) {
    const phone = new Phone();
    const client = phone.client();
    phone.answers("/login", given);
    const first = await rejected(client.token());
    assert.ok(first.retryAfter >= 3600, "as it was said");
    phone.later(299.9);
    assert.equal(await rejected(client.login()), first);
    phone.later(0.1);
    assert.equal(await client.token(), "token-0001");
  }
});

test("other answers with Retry-After, and a date in place of seconds, make nobody wait", async () => {
  for (const given of [
    answer(502, "<html>", { "Retry-After": "60" }),
    answer(503, "", { "Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT" }),
    answer(503),
  ]) {
    const phone = new Phone();
    const client = phone.client();
    phone.answers("/login", given);
    assert.equal((await rejected(client.token())).code, "unavailable");
    assert.equal(await client.token(), "token-0001");
  }
});

test("a clock that is set back makes the wait no longer", async () => {
  for (const [before, back, after] of [
    [0, 3600, 0],
    [20, 3600, 31],
    [20, 10, 0],
  ]) {
    const phone = new Phone();
    const client = phone.client();
    phone.answers("/login", problem(429, "rate_limited", { retry_after: 30 }));
    await rejected(client.token());
    phone.later(before);
    await rejected(client.token());
    phone.later(-back);
    phone.later(after);
    assert.equal(await client.token(), "token-0001", `${[before, back, after]}`);
  }
});

test("a wait that a set-back clock has ended does not come again", async () => {
  const phone = new Phone();
  const client = phone.client();
  phone.answers("/login", problem(429, "rate_limited", { retry_after: 30 }), new Fail());
  await rejected(client.token());
  phone.later(-3600);
  assert.equal((await rejected(client.token())).code, "offline");
  phone.later(3610);
  assert.equal(await client.token(), "token-0001");
});

test("with a valid token nobody waits", async () => {
  const phone = new Phone();
  const client = await phone.loggedIn();
  phone.answers("/login", problem(429, "rate_limited", { retry_after: 30 }));
  await rejected(client.login());
  assert.equal((await client.request({ url: ORDERS })).statusCode, 200);
});

test("an answer that only looks like a login is none", async () => {
  const phone = new Phone();
  const client = phone.client();
  const spoilt = [{ access_token: "" }, { access_token: 7 }, { expires_in: "86400" }, { user_id: undefined }].map(
    (more) => answer(200, phone.granted(more)),
  );
  for (const given of [
    ...spoilt,
    answer(200, "<html>welcome"),
    answer(200),
    answer(204),
    answer(302),
    answer(201, phone.granted()),
    {},
  ]) {
    phone.answers("/login", given);
    const error = await rejected(client.token());
    assert.ok(error instanceof WxmintError);
    assert.equal(error.code, "unavailable");
    assert.equal(client.state().status, "none");
  }
});

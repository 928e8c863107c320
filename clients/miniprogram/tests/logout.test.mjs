// "Logging out" of the contract.

import assert from "node:assert/strict";
import { test } from "node:test";

import { DAY, Fail, ORDERS, Phone, answer, bindingRequired, problem, rejected, settled } from "./phone.mjs";

const LATE = { url: "https://api.example.com/late" };
const isLoggedOut = async (promise) => assert.equal((await rejected(promise)).code, "logged_out");

test("logout() makes the phone forget the token before it returns, and tells wxmint", async () => {
  const phone = new Phone();
  const client = await phone.loggedIn();
  const told = client.logout();
  assert.deepEqual(client.state(), { status: "logged_out", userId: undefined });
  assert.ok(![...phone.storage.values()].join().includes("token-0001"));
  assert.equal(await told, undefined);
  const [{ path, options }] = phone.asked;
  assert.deepEqual(
    [path, options.method, options.header.Authorization, options.data],
    ["/logout", "POST", "Bearer token-0001", {}],
  );
});

test("logout({ everywhere: true }) says so", async () => {
  const phone = new Phone();
  const client = await phone.loggedIn();
  await client.logout({ everywhere: true });
  assert.deepEqual(phone.asked[0].options.data, { everywhere: true });
  await isLoggedOut(client.logout({ everywhere: true }));
});

test("a token that is past its nine tenths is ended too", async () => {
  const phone = new Phone();
  const client = await phone.loggedIn();
  phone.later(0.95 * DAY);
  await client.logout();
  assert.deepEqual(phone.paths(), ["/logout"]);
});

test("logout() without a token asks nobody, logs nobody in, and resolves", async () => {
  const phone = new Phone();
  const client = phone.client();
  await client.logout();
  await client.logout();
  assert.deepEqual(phone.asked, []);
  assert.equal(client.state().status, "logged_out");
});

test("if wxmint cannot be told it rejects, and the phone is logged out all the same", async () => {
  for (const [given, code] of [
    [new Fail(), "offline"],
    [answer(502, "<html>"), "unavailable"],
    [answer(200, "<html>"), "unavailable"],
    [problem(429, "rate_limited", { retry_after: 9 }), "rate_limited"],
    [problem(503, "store_unavailable"), "store_unavailable"],
  ]) {
    const phone = new Phone();
    const client = await phone.loggedIn();
    phone.answers("/logout", given);
    const error = await rejected(client.logout());
    assert.deepEqual(
      [error.name, error.code, phone.count("/logout"), client.state().status],
      ["WxmintError", code, 1, "logged_out"],
    );
    await isLoggedOut(client.token());
  }
});

test("a 401 means that it was done already", async () => {
  const phone = new Phone();
  const client = await phone.loggedIn();
  phone.refused.add("Bearer token-0001");
  await client.logout();
  assert.deepEqual([phone.paths(), phone.events.map(({ type }) => type)], [["/logout"], ["logout"]]);
});

test("a 401 to logout({ everywhere: true }) rejects, because the other phones stay logged in", async () => {
  const phone = new Phone();
  const client = await phone.loggedIn();
  phone.refused.add("Bearer token-0001");
  const { code, status } = await rejected(client.logout({ everywhere: true }));
  assert.deepEqual([code, status, client.state().status], ["invalid_token", 401, "logged_out"]);
});

test("the phone stays logged out, also after a restart, until login() or bind() succeeds", async () => {
  for (const comeBack of [
    (client) => client.login(),
    (client) => client.bind({ phoneCode: "phone-0001" }),
    (client) => client.login({ username: "lin", password: "jasmine-tea" }),
  ]) {
    const phone = new Phone();
    await (await phone.loggedIn()).logout();
    phone.asked.length = 0;
    for (const client of [phone.client(), phone.client()]) {
      assert.equal(client.state().status, "logged_out");
      const sealed = { encryptedData: "a", iv: "b" };
      const calls = [
        client.request(LATE),
        client.upload(LATE),
        client.download(LATE),
        client.token(),
        client.userData(sealed),
        client.phone("c"),
        client.session.valid(),
        client.session.reset(),
        client.unbind(),
      ];
      for (const call of calls) await isLoggedOut(call);
    }
    assert.deepEqual(phone.asked, [], "without a login");
    const client = phone.client();
    assert.equal((await client.request({ ...LATE, auth: "optional" })).data.got, undefined);
    phone.answers("/login", new Fail());
    assert.equal((await rejected(comeBack(client))).code, "offline");
    await isLoggedOut(client.token());
    assert.equal(phone.client().state().status, "logged_out", "a login that failed changes nothing");
    await comeBack(client);
    assert.equal((await client.request(LATE)).statusCode, 200);
    assert.equal(phone.client().state().status, "logged_in");
  }
});

test("a phone whose storage is full stays logged out after a restart, as long as what is there can be replaced", async () => {
  const phone = new Phone();
  const client = await phone.loggedIn();
  const { setStorageSync } = phone.platform;
  phone.platform.setStorageSync = (key, value) => {
    if (phone.storage.size) throw new Error("exceed storage max size 10Mb");
    setStorageSync(key, value);
  };
  await client.logout();
  assert.equal(phone.client().state().status, "logged_out");
});

test("a request that comes during the login after a logout waits for it", async () => {
  const phone = new Phone();
  const client = await phone.loggedIn();
  await client.logout();
  const login = client.login();
  assert.equal(client.state().status, "logging_in");
  assert.equal((await client.request(LATE)).data.got, "Bearer token-0002");
  await login;
});

test("binding_required after a logout: the page learns it, and a restart still finds the phone logged out", async () => {
  const phone = new Phone();
  const client = await phone.loggedIn();
  await client.logout();
  phone.answers("/login", bindingRequired());
  assert.equal((await rejected(client.login())).code, "binding_required");
  assert.deepEqual([client.state().status, phone.client().state().status], ["binding_required", "logged_out"]);
});

test("unbind() ends the same way once wxmint has answered 204", async () => {
  const phone = new Phone();
  const client = await phone.loggedIn();
  assert.equal(await client.unbind(), undefined);
  const [{ path, options }] = phone.asked;
  assert.deepEqual([path, options.method, options.header.Authorization], ["/binding", "DELETE", "Bearer token-0001"]);
  assert.equal(phone.asked.length, 1);
  assert.deepEqual([client.state().status, phone.client().state().status], ["logged_out", "logged_out"]);
  assert.deepEqual(phone.events, [{ type: "logout" }]);
});

test("unbind() that wxmint has not answered with 204 changes nothing", async () => {
  for (const [given, code] of [
    [answer(200, "<html>"), "unavailable"],
    [problem(429, "rate_limited"), "rate_limited"],
    [new Fail(), "offline"],
  ]) {
    const phone = new Phone();
    const client = await phone.loggedIn();
    phone.answers("/binding", given);
    assert.equal((await rejected(client.unbind())).code, code);
    assert.deepEqual([client.state().status, phone.events], ["logged_in", []]);
  }
});

/** A client whose binding is being dissolved, and whose service knows of it already. */
async function unbinding() {
  const phone = new Phone();
  const client = await phone.loggedIn();
  const release = phone.hold("/binding");
  const unbound = client.unbind();
  await settled();
  phone.answers("/orders", answer(401));
  return { phone, client, unbound, answers: (given) => (phone.answers("/binding", given), release()) };
}

test("until wxmint has answered unbind(), nobody logs in: it would bind anew who is being unbound", async () => {
  const { phone, client, unbound, answers } = await unbinding();
  const order = rejected(client.request({ url: ORDERS }));
  await settled();
  const later = [client.token(), client.request({ url: ORDERS }), client.unbind()].map(rejected);
  const approved = rejected(client.approve("BCDFGHJK"));
  const own = [client.login(), client.bind({ phoneCode: "phone-0001" })];
  await settled();
  assert.equal(phone.count("wx.login"), 0);
  await answers(answer(204));
  assert.equal(await unbound, undefined);
  for (const error of await Promise.all([order, ...later, approved])) assert.equal(error.code, "logged_out");
  await Promise.all(own);
  assert.deepEqual([phone.count("/login"), phone.count("/orders"), phone.count("/binding")], [2, 1, 1]);
  assert.deepEqual(
    phone.events.map(({ type }) => type),
    ["ended", "logout", "login", "login"],
    "who logs in or binds on purpose does so afterwards",
  );
});

test("if wxmint has not dissolved the binding, those who waited log in", async () => {
  for (const given of [new Fail(), answer(200, "<html>"), answer(401)]) {
    const { phone, client, unbound, answers } = await unbinding();
    const order = client.request({ url: ORDERS });
    await settled();
    phone.answers("/binding", given);
    const outcome = unbound.catch((error) => error.code);
    await answers(given);
    assert.equal((await order).statusCode, 200);
    assert.equal(await outcome, given instanceof Fail ? "offline" : "unavailable");
    // After a 401, unbind() itself has logged in once more.
    assert.deepEqual([phone.count("/login"), phone.count("/orders")], [given.statusCode === 401 ? 2 : 1, 2]);
    assert.equal(client.state().status, "logged_in");
  }
});

test("a request that is aborted while it waits for the end of unbind() logs nobody in", async () => {
  const { phone, client, unbound, answers } = await unbinding();
  let task;
  const order = rejected(client.request({ url: ORDERS, onTask: (it) => (task = it) }));
  await settled();
  task.abort();
  const outcome = rejected(unbound);
  await answers(new Fail());
  assert.deepEqual([(await order).code, (await outcome).code, phone.count("wx.login")], ["aborted", "offline", 0]);
});

test("unbind() waits for a login in flight, so that no token outlives it", async () => {
  const phone = new Phone();
  const client = await phone.loggedIn();
  const release = phone.hold("/login");
  const login = client.login();
  const unbound = client.unbind();
  await settled();
  assert.equal(phone.count("/binding"), 0);
  await release();
  await Promise.all([login, unbound]);
  assert.deepEqual(phone.tokensSent("/binding"), ["Bearer token-0002"]);
  assert.equal(client.state().status, "logged_out");
});

test("an unbind() that was sent before a logout does not log out whoever has logged in since", async () => {
  const phone = new Phone();
  const client = await phone.loggedIn();
  const release = phone.hold("/binding");
  const unbound = client.unbind();
  await settled();
  await client.logout();
  await client.login();
  await release();
  await unbound;
  assert.equal(client.state().status, "logged_in");
});

for (const [begins, call] of [
  ["without a token", (client) => client.unbind()],
  ["during a login", (client) => [client.login(), client.unbind()][1]],
]) {
  test(`no login is in flight during an unbinding that begins ${begins}, so that nobody is bound anew`, async () => {
    for (const [first, second, pause] of [
      ["unbind", "bind", settled],
      ["unbind", "bind", () => {}],
      ["bind", "unbind", () => {}],
    ]) {
      const phone = new Phone();
      const client = phone.client();
      const [releaseLogin, releaseBinding] = [phone.hold("/login"), phone.hold("/binding")];
      const calls = { unbind: () => call(client), bind: () => client.bind({ phoneCode: "phone-0001" }) };
      const one = calls[first]();
      await pause();
      const other = calls[second]();
      await settled();
      for (let login = 0; login < 3 && !phone.count("/binding"); login += 1) await releaseLogin(1);
      await releaseLogin();
      const before = phone.paths();
      assert.deepEqual([before.at(-1), client.state().status], ["/binding", "logged_in"], "and nobody waits for a login");
      await releaseBinding();
      await Promise.all([one, other]);
      assert.equal(phone.count("/logout"), 0, "a token that nobody ends");
      assert.equal(client.state().status, phone.paths().at(-1) === "/login" ? "logged_in" : "logged_out");
    }
  });
}

test("who waits for an unbinding rejects with logged_out at a logout, at once, whatever wxmint answers", async () => {
  for (const given of [answer(204), problem(503, "store_unavailable")]) {
    const phone = new Phone();
    const client = await phone.loggedIn();
    const release = phone.hold("/binding");
    phone.answers("/binding", given);
    const unbound = client.unbind().catch(() => {});
    await settled();
    phone.later(DAY);
    const account = { username: "lin", password: "jasmine-tea" };
    const waiting = [client.login(), client.login(account), client.bind(account), client.token(), client.request(LATE)];
    const outcomes = Promise.all(waiting.map(rejected));
    await settled();
    await client.logout();
    for (const { code } of await outcomes) assert.equal(code, "logged_out");
    await release();
    await unbound;
    assert.deepEqual([phone.paths(), client.state().status], [["/binding", "/logout"], "logged_out"]);
  }
});

for (const path of ["wx.login", "/login"]) {
  test(`a login in flight (${path}) is lost to a logout: whoever waited rejects with logged_out, at once`, async () => {
    const phone = new Phone();
    const client = phone.client();
    const release = phone.hold(path);
    const waiting = [
      client.request({ url: ORDERS }),
      client.token(),
      client.login(),
      client.login({ phoneCode: "phone-0001" }),
      client.bind({ phoneCode: "phone-0002" }),
    ];
    const outcomes = waiting.map(rejected);
    await settled();
    await client.logout();
    for (const error of await Promise.all(outcomes)) assert.equal(error.code, "logged_out");
    await release();
    assert.deepEqual(phone.paths(), path === "/login" ? ["wx.login", "/login", "/logout"] : ["wx.login"]);
    if (path === "/login")
      assert.equal(phone.asked[2].options.header.Authorization, "Bearer token-0001", "wxmint is asked to end it");
    assert.equal(client.state().status, "logged_out");
    assert.ok(![...phone.storage.values()].join().includes("token"), "its token is never kept");
    assert.deepEqual(phone.events, [{ type: "logout" }]);
    await isLoggedOut(client.token());
  });
}

test("that wxmint cannot be asked to end the lost token is nobody's unhandled rejection", async () => {
  const phone = new Phone();
  const client = phone.client();
  const release = phone.hold("/login");
  const waiting = rejected(client.token());
  await settled();
  await client.logout({ everywhere: true }).catch(() => {});
  await waiting;
  phone.answers("/logout", new Fail());
  await release();
  assert.deepEqual(phone.asked.at(-1).options.data, { everywhere: true });
});

test("a lost login that is refused asks for no second code, and bars nobody", async () => {
  for (const given of [problem(400, "code_used"), bindingRequired(), problem(403, "user_blocked")]) {
    const phone = new Phone();
    const client = phone.client();
    const release = phone.hold("/login");
    const waiting = rejected(client.token());
    await settled();
    await client.logout();
    await waiting;
    phone.answers("/login", given);
    await release();
    assert.deepEqual([phone.count("wx.login"), client.state().status, phone.events.length], [1, "logged_out", 1]);
  }
});

test("Retry-After to a lost login is obeyed", async () => {
  const phone = new Phone();
  const client = phone.client();
  const release = phone.hold("/login");
  const waiting = rejected(client.token());
  await settled();
  await client.logout();
  await waiting;
  phone.answers("/login", problem(429, "rate_limited", { retry_after: 30 }));
  await release();
  assert.equal((await rejected(client.login())).code, "rate_limited");
});

test("a login() after the logout is a login of its own, and the late answer of the lost one changes nothing", async () => {
  const phone = new Phone();
  const client = phone.client();
  const releaseLost = phone.hold("/login");
  const lost = rejected(client.token());
  await settled();
  const out = client.logout();
  const again = client.login();
  await settled();
  assert.equal(phone.count("/login"), 2);
  await releaseLost(1);
  assert.equal(client.state().status, "logging_in");
  await releaseLost();
  await Promise.all([again, out]);
  assert.equal((await lost).code, "logged_out");
  assert.equal(await client.token(), "token-0002");
  assert.deepEqual(
    phone.calls("/logout").map(({ options }) => options.header.Authorization),
    ["Bearer token-0001"],
  );
});

test("the token of a lost login ends itself alone where wxmint has been told of everywhere: others have logged in since", async () => {
  const phone = new Phone();
  const client = await phone.loggedIn();
  const release = phone.hold("/login");
  const lost = rejected(client.login());
  await settled();
  await client.logout({ everywhere: true });
  await lost;
  const again = client.login();
  await release();
  await again;
  const told = phone.calls("/logout").map(({ options }) => [options.header.Authorization, options.data]);
  assert.deepEqual(told, [
    ["Bearer token-0001", { everywhere: true }],
    ["Bearer token-0002", {}],
  ]);
});

for (const auth of ["required", "optional"]) {
  test(`a request (${auth}) that was sent before the logout and gets its 401 after it rejects with logged_out`, async () => {
    const phone = new Phone();
    const client = await phone.loggedIn();
    const release = phone.hold("/late");
    const late = rejected(client.request({ ...LATE, auth }));
    await settled();
    await client.logout();
    phone.refused.add("Bearer token-0001");
    await release();
    assert.equal((await late).code, "logged_out");
    assert.deepEqual([phone.count("wx.login"), phone.count("/late")], [0, 1]);
  });

  test(`and it is not repeated (${auth}) for whoever has logged in since`, async () => {
    const phone = new Phone();
    const client = await phone.loggedIn();
    const release = phone.hold("/late");
    const late = rejected(client.request({ ...LATE, auth, retry: true }));
    await settled();
    await client.logout();
    await client.login();
    phone.answers("/late", answer(401));
    await release();
    assert.equal((await late).code, "logged_out");
    assert.deepEqual(phone.tokensSent("/late"), ["Bearer token-0001"]);
    assert.equal(client.state().status, "logged_in", "whose token stays");
  });
}

test("a GET with retry whose answer is lost is not repeated for whoever has logged in since", async () => {
  const phone = new Phone();
  const client = await phone.loggedIn();
  const release = phone.hold("/late");
  const late = rejected(client.request({ ...LATE, retry: true }));
  await settled();
  await client.logout();
  await client.login();
  phone.answers("/late", new Fail());
  await release();
  assert.equal((await late).code, "logged_out");
  assert.equal(phone.count("/late"), 1);
});

test("other answers after a logout are the caller's", async () => {
  const phone = new Phone();
  const client = await phone.loggedIn();
  const release = phone.hold("/late");
  const late = client.request(LATE);
  await settled();
  await client.logout();
  await release();
  assert.equal((await late).statusCode, 200);
});

test("a logout between a login's answer and the request that waited for it: the request is not sent", async () => {
  const phone = new Phone();
  const onEvent = ({ type }) => type === "login" && client.logout();
  const client = phone.client({ onEvent });
  await isLoggedOut(client.request({ url: ORDERS }));
  await settled();
  assert.deepEqual(phone.paths(), ["wx.login", "/login", "/logout"]);

  const other = new Phone();
  const second = other.client();
  const first = second.token().then(() => second.logout());
  await isLoggedOut(second.request({ url: ORDERS }));
  await first;
  assert.equal(other.count("/orders"), 0);
});

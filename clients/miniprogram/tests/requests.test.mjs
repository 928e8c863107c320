// "Requests" of the contract, and the options of request, upload and download.

import assert from "node:assert/strict";
import { test } from "node:test";

import { DAY, Fail, ORDERS, Phone, answer, problem, rejected, settled } from "./phone.mjs";

const refusing = async () => {
  const phone = new Phone();
  const client = await phone.loggedIn();
  phone.refused.add("Bearer token-0001");
  return [phone, client];
};

test("request, upload and download resolve with the platform's answer, whatever its status", async () => {
  const phone = new Phone();
  const client = await phone.loggedIn();
  for (const [call, name] of [
    ["request", "request"],
    ["upload", "uploadFile"],
    ["download", "downloadFile"],
  ]) {
    for (const status of [200, 204, 302, 403, 404, 500, 503]) {
      const given = answer(status, "text", { "X-Mine": "1" });
      phone.answers("/orders", given);
      assert.equal(await client[call]({ url: ORDERS }), given);
    }
    assert.equal(phone.asked.at(-1).name, name);
    assert.equal(phone.tokensSent().at(-1), "Bearer token-0001");
  }
});

test("the platform gets its own options, and none of ours", async () => {
  const phone = new Phone();
  const client = await phone.loggedIn();
  const theirs = { url: ORDERS, method: "PUT", data: { a: 1 }, timeout: 5, dataType: "json", enableHttp2: true };
  await client.request({ ...theirs, header: { "X-Mine": "1" }, auth: "required", retry: true, onTask: () => {} });
  const [
    {
      options: { success, fail, ...sent },
    },
  ] = phone.asked;
  assert.deepEqual(sent, { ...theirs, header: { "X-Mine": "1", Authorization: "Bearer token-0001" } });
  assert.deepEqual([typeof success, typeof fail], ["function", "function"]);
});

test("success, fail and complete are ignored, and the caller's objects are not changed", async () => {
  const phone = new Phone();
  const client = await phone.loggedIn();
  const called = [];
  const callbacks = Object.fromEntries(["success", "fail", "complete"].map((name) => [name, () => called.push(name)]));
  const options = Object.freeze({
    url: ORDERS,
    header: Object.freeze({ AUTHORIZATION: "mine" }),
    data: Object.freeze({ a: 1 }),
    ...callbacks,
  });
  await client.request(options);
  phone.answers("/orders", new Fail());
  await rejected(client.request(options));
  assert.deepEqual([called, options.header], [[], { AUTHORIZATION: "mine" }]);
  assert.equal(phone.asked[0].options.data, options.data);
});

test("the caller's Authorization, however spelled, is replaced if a token is sent, and stays if none is", async () => {
  const phone = new Phone();
  const client = await phone.loggedIn();
  for (const name of ["Authorization", "authorization", "AUTHORIZATION", "aUTHORIZATION"]) {
    for (const [auth, expected] of [
      ["required", { Authorization: "Bearer token-0001" }],
      ["optional", { Authorization: "Bearer token-0001" }],
      ["none", { [name]: "mine" }],
    ]) {
      await client.request({ url: ORDERS, header: { [name]: "mine" }, auth });
      assert.deepEqual(phone.asked.at(-1).options.header, expected);
    }
  }
  await client.logout();
  await client.request({ url: ORDERS, header: { authorization: "mine" }, auth: "optional" });
  assert.deepEqual(phone.asked.at(-1).options.header, { authorization: "mine" });
});

test("required waits for a token", async () => {
  const phone = new Phone();
  const client = phone.client();
  const release = phone.hold("wx.login");
  const answered = client.request({ url: ORDERS });
  await settled();
  assert.deepEqual(phone.paths(), ["wx.login"]);
  await release();
  assert.equal((await answered).data.got, "Bearer token-0001");
});

test("none sends no token, and optional sends one if there is a valid one; neither logs in or waits", async () => {
  const phone = new Phone();
  const client = phone.client();
  phone.hold("wx.login");
  const login = client.login();
  for (const auth of ["none", "optional"]) {
    assert.equal((await client.request({ url: ORDERS, auth })).data.got, undefined);
  }
  assert.deepEqual(phone.paths(), ["wx.login", "/orders", "/orders"]);
  login.catch(() => {});

  const other = new Phone();
  const inside = await other.loggedIn();
  assert.equal((await inside.request({ url: ORDERS, auth: "none" })).data.got, undefined);
  assert.equal((await inside.request({ url: ORDERS, auth: "optional" })).data.got, "Bearer token-0001");
  other.later(DAY);
  assert.equal((await inside.request({ url: ORDERS, auth: "optional" })).data.got, undefined);
  assert.equal(other.count("wx.login"), 0);
});

test("wx.login is called before the call returns, and what it calls back meanwhile does no harm", async () => {
  const calls = [(client) => client.request({ url: ORDERS }), (client) => client.token(), (client) => client.login()];
  for (const call of calls) {
    const phone = new Phone();
    const client = phone.client();
    const { login } = phone.platform;
    const inside = [];
    phone.platform.login = (options) => (inside.push(client.token()), login(options));
    const called = call(client);
    assert.equal(phone.count("wx.login"), 1);
    await called;
    assert.deepEqual([await inside[0], phone.count("/login")], ["token-0001", 1]);
  }
});

test("what needs no login is sent before the call returns, as by wx.request", async () => {
  const phone = new Phone();
  const client = await phone.loggedIn();
  client.request({ url: ORDERS });
  client.request({ url: ORDERS, auth: "none" });
  assert.equal(phone.count("/orders"), 2);
});

test("a 401 storm makes one login, and each request is repeated once with its token", async () => {
  const [phone, client] = await refusing();
  const answers = await Promise.all(Array.from({ length: 50 }, () => client.request({ url: ORDERS })));
  assert.ok(answers.every(({ statusCode }) => statusCode === 200));
  assert.deepEqual([phone.count("/login"), phone.count("/orders")], [1, 100]);
});

test("a 401 after another login is answered with the newer token, without a login", async () => {
  const [phone, client] = await refusing();
  const release = phone.hold("/late");
  const late = client.request({ url: "https://api.example.com/late" });
  await client.request({ url: ORDERS });
  assert.equal(phone.count("/login"), 1);
  await release();
  assert.equal((await late).statusCode, 200);
  assert.deepEqual([phone.count("/login"), phone.tokensSent("/late")], [1, ["Bearer token-0001", "Bearer token-0002"]]);
});

test("a 401 while a login is in flight waits for it", async () => {
  const [phone, client] = await refusing();
  const release = phone.hold("/login");
  const login = client.login();
  const request = client.request({ url: ORDERS });
  await settled();
  await release();
  await login;
  assert.equal((await request).statusCode, 200);
  assert.equal(phone.count("/login"), 1);
});

test("with optional a 401 is repeated with the newer token, or without one, and never logs in", async () => {
  const [phone, client] = await refusing();
  assert.deepEqual((await client.request({ url: ORDERS, auth: "optional" })).data, { path: "/orders", got: undefined });
  assert.deepEqual(phone.tokensSent(), ["Bearer token-0001", undefined]);
  assert.equal(phone.count("/login"), 0);

  const [other, second] = await refusing();
  const release = other.hold("/late");
  const late = second.request({ url: "https://api.example.com/late", auth: "optional" });
  await second.login();
  await release();
  assert.equal((await late).data.got, "Bearer token-0002");
});

test("without a token sent, 401 is an answer like any other", async () => {
  const phone = new Phone();
  const client = await phone.loggedIn();
  phone.answers("/orders", answer(401), answer(401));
  assert.equal((await client.request({ url: ORDERS, auth: "none" })).statusCode, 401);
  assert.deepEqual([client.state().status, phone.asked.length, phone.events], ["logged_in", 1, []]);
  const outside = phone.client({ appid: "wx02" });
  assert.equal((await outside.request({ url: ORDERS, auth: "optional" })).statusCode, 401);
  assert.equal(phone.asked.length, 2);
});

test("the second answer is the caller's, also if it is 401", async () => {
  const phone = new Phone();
  const client = await phone.loggedIn();
  phone.answers("/orders", answer(401), answer(401, "the second"));
  assert.equal((await client.request({ url: ORDERS })).data, "the second");
  assert.deepEqual(phone.paths(), ["/orders", "wx.login", "/login", "/orders"]);
});

test("uploads and downloads are repeated after a 401 too", async () => {
  for (const call of ["upload", "download"]) {
    const [phone, client] = await refusing();
    assert.equal((await client[call]({ url: ORDERS, filePath: "wxfile://a", name: "file" })).statusCode, 200);
    assert.deepEqual(phone.tokensSent(), ["Bearer token-0001", "Bearer token-0002"]);
  }
});

test("a request that got no answer is never repeated", async () => {
  for (const options of [
    { method: "POST" },
    { method: "POST", retry: true },
    { method: "PUT", retry: true },
    { method: "DELETE", retry: true },
    { method: "PATCH", retry: true },
    {},
    { method: "GET" },
    { method: "HEAD", retry: false },
    { retry: "yes" },
  ]) {
    const phone = new Phone();
    const client = await phone.loggedIn();
    phone.answers("/orders", new Fail());
    assert.equal((await rejected(client.request({ url: ORDERS, ...options }))).code, "offline");
    assert.equal(phone.count("/orders"), 1, JSON.stringify(options));
  }
});

test("retry: true repeats a GET or HEAD once, and is ignored for uploads and downloads", async () => {
  for (const method of [undefined, "GET", "HEAD", "get"]) {
    const phone = new Phone();
    const client = await phone.loggedIn();
    phone.answers(
      "/orders",
      new Fail(),
      answer(200, "there"),
      new Fail({ errMsg: "first" }),
      new Fail({ errMsg: "second" }),
    );
    assert.equal((await client.request({ url: ORDERS, method, retry: true })).data, "there");
    assert.equal((await rejected(client.request({ url: ORDERS, method, retry: true }))).cause.errMsg, "second");
    assert.equal(phone.count("/orders"), 4);
  }
  for (const call of ["upload", "download"]) {
    const phone = new Phone();
    const client = await phone.loggedIn();
    phone.answers("/orders", new Fail());
    await rejected(client[call]({ url: ORDERS, retry: true }));
    assert.equal(phone.count("/orders"), 1);
  }
});

test("what was sent without a token is repeated without one, though somebody has logged in meanwhile", async () => {
  const phone = new Phone();
  const client = phone.client();
  const release = phone.hold("/orders");
  const answered = client.request({ url: ORDERS, auth: "optional", retry: true });
  await client.login();
  phone.answers("/orders", new Fail());
  await release();
  assert.equal((await answered).data.got, undefined);
  assert.equal(phone.count("/orders"), 2);
});

test("a request is repeated once at most, for whatever reason", async () => {
  for (const list of [
    [new Fail(), answer(401, "second")],
    [answer(401), new Fail({ errMsg: "second" })],
  ]) {
    const phone = new Phone();
    const client = await phone.loggedIn();
    phone.answers("/orders", ...list);
    const outcome = await client.request({ url: ORDERS, retry: true }).catch(({ code, cause }) => [code, cause.errMsg]);
    assert.ok(outcome.data === "second" || String(outcome) === "offline,second");
    assert.equal(phone.count("/orders"), 2);
  }
});

test("a POST whose answer was lost is not repeated after a login either", async () => {
  const [phone, client] = await refusing();
  phone.answers("/orders", answer(401), new Fail());
  assert.equal((await rejected(client.request({ url: ORDERS, method: "POST" }))).code, "offline");
  assert.equal(phone.count("/orders"), 2);
});

test("if the login fails, the request rejects with the login's error and is not sent", async () => {
  const phone = new Phone();
  const client = phone.client();
  phone.answers("/login", problem(403, "user_blocked"));
  assert.equal((await rejected(client.request({ url: ORDERS }))).code, "user_blocked");
  assert.equal(phone.count("/orders"), 0);

  const [other, second] = await refusing();
  other.answers("/login", new Fail());
  assert.equal((await rejected(second.request({ url: ORDERS }))).code, "offline", "after a 401 too");
  assert.equal(other.count("/orders"), 1);
});

test("where success and fail are both called, the first counts", async () => {
  const phone = new Phone();
  const client = await phone.loggedIn();
  const both = (first, second) => (options) => {
    options[first](answer(200, "it"));
    options[second](answer(200, "it"));
  };
  phone.platform.request = both("success", "fail");
  assert.equal((await client.request({ url: ORDERS })).data, "it");
  phone.platform.request = both("fail", "success");
  assert.equal((await rejected(client.request({ url: ORDERS }))).code, "offline");
});

test("a function of the platform may return a promise beside calling back; its rejection is nobody's", async () => {
  const unhandled = [];
  const note = (reason) => unhandled.push(reason);
  process.on("unhandledRejection", note);
  const phone = new Phone();
  const { platform } = phone;
  const promising = (name) => (options) => (platform[name](options), Promise.reject(new Error("nobody's")));
  const client = phone.client({
    platform: {
      ...platform,
      ...Object.fromEntries(["login", "request", "uploadFile", "downloadFile"].map((name) => [name, promising(name)])),
    },
  });
  await client.request({ url: ORDERS });
  await client.upload({ url: ORDERS });
  await client.download({ url: ORDERS });
  phone.answers("/orders", new Fail());
  assert.equal((await rejected(client.request({ url: ORDERS }))).code, "offline");
  await client.logout();
  await settled();
  process.off("unhandledRejection", note);
  assert.deepEqual(unhandled, []);
});

test("a platform that throws, or lacks a function, is no answer", async () => {
  const phone = new Phone();
  const thrown = new TypeError("not a URL");
  const throwing = () => {
    throw thrown;
  };
  const client = phone.client({ platform: { ...phone.platform, request: throwing, uploadFile: undefined } });
  for (const call of [client.login(), client.request({ url: ORDERS, auth: "none" })]) {
    const error = await rejected(call);
    assert.deepEqual([error.name, error.code, error.cause], ["WxmintError", "offline", thrown]);
  }
  assert.equal((await rejected(client.upload({ url: ORDERS, auth: "none" }))).code, "offline");
});

test("a client sends requests before App() and wherever there is no wx", async () => {
  assert.equal(typeof wx, "undefined");
  const phone = new Phone();
  assert.equal((await phone.client().request({ url: ORDERS })).statusCode, 200);
});

// RuoYi and yudao answer 200 with {"code":401}, pig answers 424.
test("a base's own way to refuse a token makes one login and one repetition, and wxmint's stays 401", async () => {
  for (const refusal of [answer(200, { code: 401, msg: "认证失败" }), answer(424, { code: 1 }), answer(200, '{"code":401}')]) {
    const phone = new Phone();
    let answers = 0;
    const refused = ({ statusCode, data }) => {
      answers += 1;
      const { code } = typeof data === "string" && data ? JSON.parse(data) : Object(data);
      return [401, 424].includes(statusCode) || code === 401;
    };
    const client = await phone.loggedIn({ refused });
    phone.answers("/orders", refusal);
    assert.equal((await client.request({ url: ORDERS })).data.got, "Bearer token-0002");
    assert.deepEqual(phone.paths(), ["/orders", "wx.login", "/login", "/orders"]);
    assert.deepEqual(phone.events[0], { type: "ended", userId: "user-of-lin" });
    assert.equal(answers, 2, "it is asked once about each answer of the service");
    phone.answers("/orders", refusal, refusal);
    assert.equal(await client.request({ url: ORDERS }), refusal, "the second answer is the caller's");
  }
  const phone = new Phone();
  const client = await phone.loggedIn({ refused: () => false });
  phone.answers("/wechat/session", problem(401, "invalid_token"));
  await client.session.valid().catch(() => {});
  assert.equal(phone.count("/login"), 1, "wxmint's own 401");
});

test("a base gets the token in its own header, in place of the caller's, and wxmint in Authorization", async () => {
  const phone = new Phone();
  const client = await phone.loggedIn({ header: (token) => ({ "X-Access-Token": token }) });
  const header = { "x-access-token": "mine", Authorization: "Basic mine" };
  await client.request({ url: ORDERS, header });
  assert.deepEqual(phone.asked.at(-1).options.header, { Authorization: "Basic mine", "X-Access-Token": "token-0001" });
  await client.request({ url: ORDERS, header, auth: "none" });
  assert.deepEqual(phone.asked.at(-1).options.header, header);
  await client.session.valid().catch(() => {});
  assert.equal(phone.asked.at(-1).options.header.Authorization, "Bearer token-0001");
});

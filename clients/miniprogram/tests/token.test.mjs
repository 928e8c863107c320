// "The token" of the contract.

import assert from "node:assert/strict";
import { test } from "node:test";
import { inspect } from "node:util";

import { DAY, ORDERS, Phone, URL, answer, createClient, rejected } from "./phone.mjs";

test("it lies in storage under one key, which begins with the prefix, and a cold start finds it there", async () => {
  const phone = new Phone();
  await phone.client().login();
  const [key, ...others] = phone.storage.keys();
  assert.ok(key.startsWith("wxmint.") && others.length === 0, key);
  assert.notEqual(key, "wxmint.token", "which is the key of the one-file recipe");
  const client = phone.client();
  assert.deepEqual(client.state(), { status: "logged_in", userId: "user-of-lin" });
  assert.equal(await client.token(), "token-0001");
  assert.equal(phone.count("/login"), 1);
});

test("the prefix can be chosen", async () => {
  const phone = new Phone();
  await phone.client({ prefix: "shop." }).login();
  assert.ok([...phone.storage.keys()].every((key) => key.startsWith("shop.")));
  assert.equal(phone.client().state().status, "none");
});

test("there is one key for each url and appid, and a slash at the end makes no other", async () => {
  const phone = new Phone();
  const clients = [
    {},
    { appid: "wx01" },
    { appid: "wx02" },
    { url: `${URL}/cn` },
    { url: "https://other.example.com" },
  ];
  for (const options of clients) await phone.client(options).login();
  assert.equal(phone.storage.size, clients.length);
  assert.equal(
    new Set(await Promise.all(clients.map((options) => phone.client(options).token()))).size,
    clients.length,
  );
  assert.equal(phone.client({ url: `${URL}/` }).state().status, "logged_in");
  await phone.client({ appid: "wx01" }).logout();
  assert.deepEqual(
    clients.map((options) => phone.client(options).state().status),
    ["logged_in", "logged_out", ...Array(3).fill("logged_in")],
  );
});

test("no other key is read or written, above all not `token`", async () => {
  const phone = new Phone();
  phone.storage.set("token", JSON.stringify("of another page"));
  const used = new Set();
  const noting = (name) => (key, value) => (used.add(key), phone.platform[name](key, value));
  const names = ["getStorageSync", "setStorageSync", "removeStorageSync"];
  const platform = { ...phone.platform, ...Object.fromEntries(names.map((name) => [name, noting(name)])) };
  const client = phone.client({ platform });
  await client.request({ url: ORDERS });
  phone.refused.add("Bearer token-0001");
  await client.request({ url: ORDERS });
  await client.logout();
  assert.equal(used.size, 1);
  assert.equal(phone.storage.get("token"), JSON.stringify("of another page"));
});

const FOREIGN = [
  undefined,
  null,
  "",
  0,
  7,
  true,
  NaN,
  "token",
  "{}",
  "[]",
  "null",
  "[1,2,3]",
  '["a","b","c"]',
  '["a",1]',
  '["a","9000000000000000","u"]',
  '["a",null,"u"]',
  '["a",{},"u"]',
  '{"0":"a","1":9e15,"2":"u","length":3}',
  [],
  ["a", 9e15, "u"],
  {},
  { token: "a", until: 9e15, userId: "u" },
  { text: "a", until: 9e15 },
  { access_token: "a", expires_in: 9e9 },
  { __proto__: null },
  '{"__proto__":{"token":"a"}}',
  "\u0000",
  "[".repeat(9999),
  () => {},
  Symbol("s"),
];

test("a value that the client did not write is no token and no error", async () => {
  for (const value of FOREIGN) {
    const phone = new Phone();
    const platform = { ...phone.platform, getStorageSync: () => value };
    const client = phone.client({ platform });
    assert.deepEqual(client.state(), { status: "none", userId: undefined }, inspect(value));
    assert.equal(await client.token(), "token-0001");
  }
});

test("a value of its own that was damaged is no token and no error", async () => {
  const phone = new Phone();
  await phone.client().login();
  const [[key, text]] = phone.storage;
  const written = JSON.parse(text);
  for (let length = 0; length < written.length; length += 1) {
    phone.storage.set(key, JSON.stringify(written.slice(0, length)));
    assert.equal(phone.client().state().status, "none", written.slice(0, length));
  }
});

test("polluted prototypes make no token", () => {
  const names = ["token", "until", "userId", "session", "loggedOut"];
  try {
    for (const name of names) Object.prototype[name] = name === "until" ? 9e15 : "evil";
    for (const value of ["", {}, "{}", []]) {
      const phone = new Phone();
      assert.equal(
        phone.client({ platform: { ...phone.platform, getStorageSync: () => value } }).state().status,
        "none",
      );
    }
  } finally {
    for (const name of names) delete Object.prototype[name];
  }
});

test("if storage throws, memory serves", async () => {
  const broken = () => {
    throw new Error("storage is broken");
  };
  const all = { getStorageSync: broken, setStorageSync: broken, removeStorageSync: broken };
  for (const part of [all, { getStorageSync: broken }, { setStorageSync: broken }, { removeStorageSync: broken }]) {
    const phone = new Phone();
    const client = phone.client({ platform: { ...phone.platform, ...part } });
    await Promise.all([client.request({ url: ORDERS }), client.request({ url: ORDERS })]);
    await client.request({ url: ORDERS });
    assert.equal(phone.count("/login"), 1);
    phone.refused.add("Bearer token-0001");
    assert.equal((await client.request({ url: ORDERS })).statusCode, 200);
    await client.logout();
    assert.equal((await rejected(client.token())).code, "logged_out");
    await client.login();
    assert.equal(await client.token(), "token-0003");
  }
});

test("an older token does not come back after a restart where the newer one could not be written", async () => {
  const phone = new Phone();
  const client = await phone.loggedIn();
  phone.platform.setStorageSync = () => {
    throw new Error("full");
  };
  await client.logout();
  assert.equal(phone.client().state().status, "none");
});

test("it is used for nine tenths of expires_in; then a login comes first", async () => {
  const phone = new Phone();
  const client = await phone.loggedIn();
  phone.later(0.9 * DAY - 1);
  assert.equal(client.state().status, "logged_in");
  await client.request({ url: ORDERS });
  phone.later(1);
  assert.deepEqual(client.state(), { status: "none", userId: undefined });
  await client.request({ url: ORDERS });
  assert.deepEqual(phone.paths(), ["/orders", "wx.login", "/login", "/orders"]);
  assert.deepEqual(phone.tokensSent(), ["Bearer token-0001", "Bearer token-0002"]);
});

test("the nine tenths are counted from the answer, and over restarts", async () => {
  const phone = new Phone();
  const release = phone.hold("/login");
  const token = phone.client().token();
  phone.later(3600);
  await new Promise(setImmediate);
  await release();
  await token;
  phone.later(0.9 * DAY - 1);
  assert.equal(phone.client().state().status, "logged_in");
  phone.later(1);
  assert.equal(phone.client().state().status, "none");
});

test("exp and iat are not read: a phone whose clock is days off logs in as seldom as any other", async () => {
  const sealed = (claims) => `e30.${Buffer.from(JSON.stringify(claims)).toString("base64url")}.sig`;
  for (const off of [-2 * DAY, 2 * DAY, 900 * DAY]) {
    const phone = new Phone();
    const access_token = sealed({ iat: phone.time / 1000, exp: phone.time / 1000 + DAY });
    phone.later(off);
    const client = phone.client();
    phone.answers("/login", answer(200, phone.granted({ access_token })));
    for (let hour = 0; hour < 21; hour += 1) {
      await client.request({ url: ORDERS });
      phone.later(3600);
    }
    assert.equal(phone.count("/login"), 1, `${off} s`);
  }
});

test("the default clock is Date.now, as it is when the client is used", async () => {
  const phone = new Phone();
  const client = createClient({ url: URL, platform: phone.platform });
  const { now } = Date;
  try {
    await client.login();
    Date.now = () => now() + 0.95 * DAY * 1000;
    assert.equal(client.state().status, "none");
  } finally {
    Date.now = now;
  }
});

test("a 401 ends it, whatever the clock says", async () => {
  const phone = new Phone();
  const client = await phone.loggedIn();
  phone.refused.add("Bearer token-0001");
  await client.request({ url: ORDERS, auth: "optional" });
  assert.equal(client.state().status, "none");
  assert.equal(phone.client().state().status, "none", "in storage too");
  assert.equal(await client.token(), "token-0002");
});

test("a token that is dead on arrival does not keep anybody waiting", async () => {
  const phone = new Phone();
  phone.answers("/login", answer(200, phone.granted({ expires_in: 0 })));
  assert.equal((await phone.client().request({ url: ORDERS })).statusCode, 200);
});

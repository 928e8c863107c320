// "Secrets" of the contract.

import assert from "node:assert/strict";
import { test } from "node:test";
import { inspect } from "node:util";
import { runInNewContext } from "node:vm";

import { Fail, ORDERS, Phone, answer, bindingRequired, problem, rejected } from "./phone.mjs";

const ACCOUNT = { username: "lin", password: 'jas"mine-tea\u4e2d' };
const SECRETS = ["code-000", "ticket-000", "token-000", "phone-000", "jas", "mine-tea", "BCDFGHJK", "LMNP%20QRST"];

function expectNoSecret(value) {
  const text = inspect(value, { depth: 20, showHidden: true, getters: true });
  for (const secret of SECRETS) assert.ok(!text.includes(secret), `${secret} in ${text}`);
}

/** Causes that hold what was sent, as some platforms make them. */
const telling = [
  (options) => ({ errMsg: "request:fail", errno: 5, options }),
  (options) => ({ errMsg: `request:fail ${JSON.stringify(options)}`, errno: 5 }),
  (options) => ({
    errMsg: "request:fail",
    errno: 5,
    request: { deep: { deeper: [{ body: JSON.stringify(options.data), header: options.header }] } },
  }),
  (options) => JSON.stringify(options),
  (options) => ({ errMsg: `request:fail ${options.url}`, errno: 5 }),
  (options) => ({ errMsg: `request:fail ${options.header?.Authorization}`, errno: 5 }),
  (options) => ({ errMsg: "request:fail", errno: 5, [Symbol("request")]: options }),
  (options) => ({ errMsg: `request:fail ${JSON.stringify(options.data?.password ?? options)}` }),
  (options) => Object.assign(new Error(`failed: ${JSON.stringify(options)}`), { config: options }),
  (options) => ({ errMsg: "request:fail", errno: 5, [JSON.stringify(options)]: true }),
  (options) => {
    const round = { errMsg: "request:fail", errno: 5, options };
    round.itself = round;
    return round;
  },
  (options) => ({
    errMsg: "request:fail",
    errno: 5,
    get options() {
      return options;
    },
    get broken() {
      throw new Error(JSON.stringify(options));
    },
  }),
  // What says more than its own members show.
  (options) => Object.create({ errMsg: `request:fail ${JSON.stringify(options)}` }),
  (options) =>
    new (class {
      get message() {
        return JSON.stringify(options);
      }
    })(),
  (options) =>
    new (class extends Error {
      get request() {
        return options;
      }
    })("request:fail"),
  (options) => new DOMException(`failed: ${JSON.stringify(options)}`, "NetworkError"),
  (options) => ({ errMsg: "request:fail", errno: 5, sent: new Map([["options", options]]) }),
  (options) => ({ errMsg: "request:fail", errno: 5, sent: new Set([JSON.stringify(options)]) }),
  (options) => ({ errMsg: "request:fail", errno: 5, header: new Headers({ sent: encodeURI(JSON.stringify(options)) }) }),
  (options) => ({ errMsg: "request:fail", errno: 5, again: Object.assign(() => undefined, { options }) }),
  (options) => Object.assign(() => undefined, { options }),
];

async function everyError(phone, client, spoil) {
  const errors = [];
  const spoilt = async (path, call) => {
    phone.script = (asked) => (asked.path === path ? spoil(asked.options) : undefined);
    errors.push(await rejected(call()));
    phone.script = () => undefined;
  };
  await spoilt("/login", () => client.login());
  await spoilt("/login", () => client.login(ACCOUNT));
  await spoilt("/login", () => client.login({ phoneCode: "phone-0001" }));
  phone.answers("/login", bindingRequired());
  await rejected(client.login());
  await spoilt("/login", () => client.bind(ACCOUNT));
  await client.login();
  await spoilt("/orders", () =>
    client.request({ url: ORDERS }).then(({ statusCode }) => Promise.reject(new Error(statusCode))),
  );
  await spoilt("/wechat/phone", () => client.phone("phone-0002"));
  await spoilt("/wechat/session", () => client.session.valid());
  await spoilt("/device/BCDFGHJK", () => client.device("BCDFGHJK"));
  await spoilt("/device/LMNP%20QRST", () => client.device("LMNP QRST"));
  await spoilt("/device/BCDFGHJK/approve", () => client.approve("BCDFGHJK", { match: "47" }));
  await spoilt("/device/BCDFGHJK/deny", () => client.deny("BCDFGHJK"));
  await spoilt("/logout", () => client.logout());
  return errors;
}

test("no error of a lost answer has a secret, at any depth, whatever the platform tells", async () => {
  for (const cause of telling) {
    const phone = new Phone();
    const client = phone.client();
    const errors = await everyError(phone, client, (options) => new Fail(cause(options)));
    assert.equal(errors.length, 12);
    errors.forEach(expectNoSecret);
    for (const { cause } of errors) {
      const { errMsg, message, request } = Object(cause);
      expectNoSecret([...Object.values(Object(cause)), errMsg, message, JSON.stringify(request)].join(""));
    }
    phone.events.forEach(expectNoSecret);
    expectNoSecret(client.state());
  }
});

test("a field that is null or missing hides no text that says so", async () => {
  const phone = new Phone();
  phone.answers("/login", problem(400, "invalid_request", { detail: "`password` must be a string, not null or undefined" }));
  const error = await rejected(phone.client().login({ username: "lin", password: null }));
  assert.equal(error.message, "`password` must be a string, not null or undefined");
});

test("what is harmless in such a cause stays", async () => {
  const phone = new Phone();
  phone.script = ({ path, options }) =>
    path === "/login" ? new Fail({ errMsg: "request:fail", errno: 600001, options }) : undefined;
  assert.deepEqual((await rejected(phone.client().login())).cause, { errMsg: "request:fail", errno: 600001 });
});

test("a cause without a secret is handed on as it is, or at least says what it said", async () => {
  const other = runInNewContext('({ errMsg: "request:fail timeout", errno: 5, of: [{ another: "realm" }] })');
  for (const cause of ["no network", new Error("no network"), new TypeError("no network"), other, null]) {
    const phone = new Phone();
    phone.answers("/login", new Fail(cause));
    const error = await rejected(phone.client().login());
    assert.equal(error.cause, cause);
    assert.equal(error.message, cause?.errMsg ?? cause?.message ?? "There was no answer.");
  }
  const phone = new Phone();
  phone.answers("/login", new Fail(new DOMException("no network", "NetworkError")));
  assert.equal((await rejected(phone.client().login())).message, "no network");
});

test("no error of a refusal has a secret, even if the answer repeats what was sent", async () => {
  const echo = (options) =>
    problem(403, "invalid_credentials", { detail: `not accepted: ${JSON.stringify([options.url, options.data, options.header])}` });
  const phone = new Phone();
  const errors = await everyError(phone, phone.client(), (options) =>
    options.url === ORDERS ? new Fail() : echo(options),
  );
  errors.forEach(expectNoSecret);
  assert.ok(errors.every(({ message }) => message));
});

test("the ticket is in no error and in no event", async () => {
  const phone = new Phone();
  const given = bindingRequired();
  given.data.detail = "Send ticket-0001 in place of the code.";
  phone.answers("/login", given);
  expectNoSecret(await rejected(phone.client().login()));
  assert.equal(phone.events.length, 1);
  phone.events.forEach(expectNoSecret);
});

test("a token in an answer that is none of wxmint's is in no error", async () => {
  const phone = new Phone();
  phone.answers("/login", answer(200, phone.granted({ expires_in: "soon" })));
  expectNoSecret(await rejected(phone.client().login()));
});

test("no event and no state has a secret", async () => {
  const phone = new Phone();
  const client = phone.client();
  await client.login(ACCOUNT);
  expectNoSecret(client.state());
  expectNoSecret(client);
  phone.refused.add("Bearer token-0001");
  await client.request({ url: ORDERS });
  await client.logout();
  assert.equal(phone.events.length, 4);
  phone.events.forEach(expectNoSecret);
});

test("passwords, codes and tickets are not stored", async () => {
  const phone = new Phone();
  const written = [];
  phone.platform.setStorageSync = (key, value) => written.push(key, value);
  const client = phone.client();
  phone.answers("/login", bindingRequired());
  await rejected(client.login());
  await client.bind(ACCOUNT);
  await client.login({ phoneCode: "phone-0001" });
  await client.logout();
  const text = JSON.stringify(written);
  for (const secret of SECRETS.filter((one) => one !== "token-000")) assert.ok(!text.includes(secret), text);
  assert.ok(text.includes("token-0001"));
});

test("passwords travel in a POST's body, and nowhere else", async () => {
  const phone = new Phone();
  await phone.client().login(ACCOUNT);
  const [{ options }] = phone.calls("/login");
  assert.deepEqual(
    [options.method, options.url, options.data.password],
    ["POST", "https://login.example.com/login", ACCOUNT.password],
  );
  assert.ok(!JSON.stringify(options.header).includes("jas"));
});

test("nothing is written to the console", async () => {
  const written = [];
  const names = Object.keys(console).filter((name) => typeof console[name] === "function");
  const before = { ...console };
  for (const name of names) console[name] = () => written.push(name);
  try {
    const phone = new Phone();
    const client = phone.client({
      onEvent: () => {
        throw new Error("theirs");
      },
    });
    await everyError(phone, client, () => new Fail());
    phone.platform.getStorageSync = () => {
      throw new Error("broken");
    };
    phone.client();
  } finally {
    Object.assign(console, before);
  }
  assert.deepEqual(written, []);
});

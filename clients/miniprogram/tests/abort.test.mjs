// `onTask` and `task.abort()` of the contract.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Fail, ORDERS, Phone, answer, rejected, settled } from "./phone.mjs";

/** A request, its task, and what has become of it. */
function started(client, options = {}, call = "request") {
  const seen = { tasks: [] };
  seen.answer = client[call]({ url: ORDERS, ...options, onTask: (task) => seen.tasks.push(task) });
  seen.answer.then(
    (value) => (seen.outcome = value),
    (error) => (seen.outcome = error),
  );
  return seen;
}

async function expectAbortedAtOnce(seen) {
  seen.tasks[0].abort();
  await Promise.resolve();
  await Promise.resolve();
  assert.equal(seen.outcome?.code, "aborted");
  assert.deepEqual([seen.outcome.name, seen.outcome.status, seen.tasks.length], ["WxmintError", 0, 1]);
}

test("onTask is called once, before the call returns, for request, upload and download", () => {
  const phone = new Phone();
  const client = phone.client();
  for (const call of ["request", "upload", "download"]) {
    const tasks = [];
    client[call]({ url: ORDERS, onTask: (task) => tasks.push(task) }).catch(() => {});
    assert.equal(tasks.length, 1);
    assert.equal(typeof tasks[0].abort, "function");
    assert.equal(typeof tasks[0].onProgressUpdate, call === "request" ? "undefined" : "function");
  }
});

test("abort inside onTask: nothing is sent", async () => {
  const phone = new Phone();
  const client = phone.client();
  for (const call of ["request", "upload", "download"]) {
    assert.equal((await rejected(client[call]({ url: ORDERS, onTask: (task) => task.abort() }))).code, "aborted");
  }
  await settled();
  assert.deepEqual(phone.asked, []);
});

test("abort right after the call, before anything was sent: nothing is sent", async () => {
  const phone = new Phone();
  const seen = started(phone.client());
  await expectAbortedAtOnce(seen);
  await settled();
  assert.deepEqual(phone.paths(), ["wx.login"]);
});

test("abort during wx.login: the request is not sent, and neither is the login that nobody else waits for", async () => {
  const phone = new Phone();
  const client = phone.client();
  const release = phone.hold("wx.login");
  const seen = started(client);
  await settled();
  await expectAbortedAtOnce(seen);
  await release();
  assert.deepEqual(phone.paths(), ["wx.login"]);
  assert.equal(client.state().status, "none");
  assert.equal((await client.request({ url: ORDERS })).statusCode, 200, "the next request logs in");
});

test("abort during a login that others wait for: it goes on", async () => {
  for (const path of ["wx.login", "/login"]) {
    for (const other of [
      (client) => client.request({ url: ORDERS }),
      (client) => client.token(),
      (client) => client.login(),
      (client) => client.bind({ phoneCode: "phone-0001" }),
    ]) {
      const phone = new Phone();
      const client = phone.client();
      const release = phone.hold(path);
      const seen = started(client);
      const others = other(client);
      await settled();
      await expectAbortedAtOnce(seen);
      await release();
      await others;
      assert.ok(phone.count("/login") >= 1);
      assert.ok(phone.count("/orders") <= 1);
    }
  }
});

test("two aborts of one request count as one", async () => {
  const phone = new Phone();
  const client = phone.client();
  const release = phone.hold("wx.login");
  const seen = started(client);
  const other = client.request({ url: ORDERS });
  await settled();
  await expectAbortedAtOnce(seen);
  seen.tasks[0].abort();
  await release();
  assert.equal((await other).statusCode, 200);
});

test("whoever comes after an abort and before wx.login answers keeps the login alive", async () => {
  const phone = new Phone();
  const client = phone.client();
  const release = phone.hold("wx.login");
  const seen = started(client);
  await settled();
  await expectAbortedAtOnce(seen);
  const other = client.request({ url: ORDERS });
  await release();
  assert.equal((await other).statusCode, 200);
  assert.equal(phone.count("wx.login"), 1);
});

test("abort while the login is under way to wxmint: the request is not sent, the token is kept", async () => {
  const phone = new Phone();
  const client = phone.client();
  const release = phone.hold("/login");
  const seen = started(client);
  await settled();
  await expectAbortedAtOnce(seen);
  await release();
  assert.equal(phone.count("/orders"), 0);
  assert.equal(client.state().status, "logged_in");
});

test("abort while the request is under way: the platform's task is aborted, once", async () => {
  for (const call of ["request", "upload", "download"]) {
    const phone = new Phone();
    const client = await phone.loggedIn();
    phone.hold("/orders");
    const seen = started(client, { retry: true }, call);
    await settled();
    await expectAbortedAtOnce(seen);
    seen.tasks[0].abort();
    await settled();
    assert.deepEqual([phone.count("/orders"), phone.asked.length, phone.asked[0].aborted], [1, 1, 1]);
    assert.equal(phone.events.length, 0);
  }
});

test("abort while the platform's function runs: its task is aborted", async () => {
  const phone = new Phone();
  const client = await phone.loggedIn();
  const tasks = [];
  let aborted = 0;
  phone.platform.request = () => {
    tasks[0].abort();
    return { abort: () => (aborted += 1) };
  };
  assert.equal((await rejected(client.request({ url: ORDERS, onTask: (task) => tasks.push(task) }))).code, "aborted");
  assert.equal(aborted, 1);
});

test("abort during the login after a 401: the request is not repeated", async () => {
  const phone = new Phone();
  const client = await phone.loggedIn();
  phone.refused.add("Bearer token-0001");
  const release = phone.hold("wx.login");
  const seen = started(client);
  await settled();
  assert.equal(phone.count("wx.login"), 1);
  await expectAbortedAtOnce(seen);
  await release();
  assert.deepEqual([phone.count("/orders"), phone.count("/login"), phone.asked[0].aborted], [1, 0, 0]);
});

test("abort during the repeated request: its task is aborted", async () => {
  const phone = new Phone();
  const client = await phone.loggedIn();
  const release = phone.hold("/orders");
  const seen = started(client);
  await settled();
  phone.answers("/orders", answer(401));
  await release(1);
  assert.equal(phone.count("/orders"), 2);
  await expectAbortedAtOnce(seen);
  assert.deepEqual(
    phone.calls("/orders").map(({ aborted }) => aborted),
    [0, 1],
  );
});

test("a 401 that comes after an abort logs nobody in", async () => {
  const phone = new Phone();
  const client = await phone.loggedIn();
  let give;
  phone.platform.request = (options) => ((give = () => options.success(answer(401))), {});
  const seen = started(client);
  await expectAbortedAtOnce(seen);
  give();
  await settled();
  assert.equal(phone.count("wx.login"), 0);
});

test("abort after the answer does nothing", async () => {
  const phone = new Phone();
  const client = await phone.loggedIn();
  const seen = started(client);
  assert.equal((await seen.answer).statusCode, 200);
  seen.tasks[0].abort();
  await settled();
  assert.deepEqual([seen.outcome.statusCode, phone.asked[0].aborted], [200, 0]);
});

test("an abort whose platform's task has no abort, or a rejecting one, still rejects at once", async () => {
  for (const task of [
    undefined,
    null,
    {},
    { abort: () => Promise.reject(new Error("nobody's")) },
    Promise.reject(new Error("nobody's")),
  ]) {
    const phone = new Phone();
    const client = await phone.loggedIn();
    phone.platform.request = () => task;
    await expectAbortedAtOnce(started(client));
  }
  await settled();
});

test("onProgressUpdate of uploads and downloads is the platform's, whenever it is called, also when repeated", async () => {
  for (const call of ["upload", "download"]) {
    const phone = new Phone();
    const client = phone.client();
    const release = phone.hold("/orders");
    const [early, late] = [() => {}, () => {}];
    const seen = started(client, {}, call);
    seen.tasks[0].onProgressUpdate(early);
    await settled();
    seen.tasks[0].onProgressUpdate(late);
    phone.answers("/orders", answer(401));
    await release();
    await seen.answer;
    assert.deepEqual(
      phone.calls("/orders").map(({ progress }) => progress),
      [
        [early, late],
        [early, late],
      ],
    );
  }
});

test("an aborted request's lost answer is not repeated", async () => {
  const phone = new Phone();
  const client = await phone.loggedIn();
  phone.answers("/orders", new Fail());
  const seen = started(client, { retry: true });
  await expectAbortedAtOnce(seen);
  await settled();
  assert.equal(phone.count("/orders"), 1);
});

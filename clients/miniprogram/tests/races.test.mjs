// Many calls at once in drawn orders, with drawn answers: what must hold whatever comes first.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Fail, ORDERS, Phone, WxmintError, answer, bindingRequired, problem } from "./phone.mjs";

const SEEDS = 150;
const STEPS = 60;

/** mulberry32: the same draws for the same seed. */
function draws(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let mixed = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

class Race {
  phone = new Phone();
  calls = [];
  wrong = [];
  /** Counts logouts. */
  era = 0;
  /** In which each request began. */
  eras = new Map();
  lost = new Set();
  #tickets = 0;

  constructor(seed) {
    this.draw = draws(seed);
    const { platform } = this.phone;
    this.ask = { ...platform };
    const late =
      (name, ask = platform[name]) =>
      (options) =>
        this.#late(ask, options);
    const names = ["login", "request", "uploadFile", "downloadFile"];
    Object.assign(platform, Object.fromEntries(names.map((name) => [name, late(name)])));
    this.phone.script = (call) => this.#answer(call);
    this.client = this.phone.client();
  }

  chance(share) {
    return this.draw() < share;
  }

  #turns(count, then) {
    if (count > 0) setImmediate(() => this.#turns(count - 1, then));
    else then();
  }

  #late(ask, options) {
    const turns = Math.floor(this.draw() * 8);
    if (ask === this.ask.login && this.unbinding) this.wrong.push("a login during an unbinding");
    const login = options.url?.endsWith("/login") ? this.#loginBegins() : undefined;
    const unbinding = options.method === "DELETE" ? this.#unbindingBegins() : undefined;
    if (options.header?.Authorization && !options.url.endsWith("/logout")) this.#checkSent(options);
    const held = (callback) => (value) =>
      this.#turns(turns, () => {
        if (login) this.#loginEnds(login, value);
        if (unbinding === this.unbinding) this.unbinding = undefined;
        callback(value);
      });
    return ask({ ...options, success: held(options.success), fail: held(options.fail) });
  }

  /** One at a time, unless a logout came between. What is thrown here would be the platform's mistake. */
  #loginBegins() {
    if (this.inFlight) this.wrong.push("two logins at a time");
    return (this.inFlight = { era: this.era });
  }

  /** A login in flight would bind anew who is being unbound. */
  #unbindingBegins() {
    if (this.inFlight) this.wrong.push("an unbinding during a login");
    return (this.unbinding = {});
  }

  #loginEnds(login, { data }) {
    if (this.inFlight === login) this.inFlight = undefined;
    if (login.era !== this.era && data?.access_token) this.lost.add(`Bearer ${data.access_token}`);
  }

  #checkSent({ data, header }) {
    if (this.client.state().status === "logged_out") this.wrong.push("a token is sent after a logout");
    if (this.lost.has(header.Authorization)) this.wrong.push("a lost login's token is sent");
    if (this.eras.has(data) && this.eras.get(data) !== this.era) this.wrong.push("a request outlives a logout");
  }

  #answer({ path }) {
    if (path === "wx.login") return this.chance(0.1) ? new Fail() : undefined;
    if (path === "/login") {
      const list = [
        new Fail(),
        bindingRequired(`ticket-${(this.#tickets += 1)}`),
        problem(400, "code_used"),
        problem(403, "user_blocked"),
        answer(502, "<html>"),
        problem(429, "rate_limited", { retry_after: 2 }),
      ];
      return this.chance(0.35) ? list[Math.floor(this.draw() * list.length)] : undefined;
    }
    return this.chance(0.3) ? (this.chance(0.5) ? new Fail() : answer(401)) : undefined;
  }

  step() {
    const { client } = this;
    const account = { username: "lin", password: "jasmine-tea" };
    const kinds = {
      request: () => this.#request(),
      again: () => this.#request(),
      optional: () => this.#request({ auth: "optional" }),
      token: () => client.token(),
      login: () => client.login(),
      own: () => client.login(account),
      bind: () => client.bind(account),
      session: () => client.session.valid().catch((error) => this.#expectOurs(error)),
      unbind: () => client.unbind(),
      logout: () => this.#logout(),
      later: () => void this.phone.later(Math.floor(this.draw() * 40_000)),
    };
    const names = Object.keys(kinds);
    const name = names[Math.floor(this.draw() * names.length)];
    const called = kinds[name]();
    if (called)
      this.calls.push(
        called.then(
          () => undefined,
          (error) => this.#expectOurs(error),
        ),
      );
  }

  #request(more) {
    const id = `id-${this.calls.length}`;
    this.eras.set(id, this.era);
    const method = this.chance(0.5) ? "POST" : "GET";
    const task = (it) => this.chance(0.2) && this.#turns(Math.floor(this.draw() * 10), () => it.abort());
    return this.client.request({ url: ORDERS, method, data: id, retry: this.chance(0.5), onTask: task, ...more });
  }

  #logout() {
    this.era += 1;
    const told = this.client.logout();
    assert.equal(this.client.state().status, "logged_out");
    this.inFlight = this.unbinding = undefined;
    return told;
  }

  #expectOurs(error) {
    if (!(error instanceof WxmintError)) throw error;
  }

  async run() {
    for (let step = 0; step < STEPS; step += 1) {
      this.step();
      for (let turn = Math.floor(this.draw() * 4); turn > 0; turn -= 1) await new Promise(setImmediate);
    }
    const timer = setTimeout(() => assert.fail("a call hangs"), 5_000);
    const outcomes = await Promise.allSettled(this.calls);
    clearTimeout(timer);
    for (const { status, reason } of outcomes) if (status === "rejected") throw reason;
  }

  check() {
    assert.deepEqual(this.wrong, []);
    const proofs = this.phone.logins().map(({ code, bind_ticket: ticket }) => code ?? ticket);
    assert.equal(new Set(proofs).size, proofs.length, "a code and a ticket are sent once each");
    const sent = new Map();
    for (const { options } of this.phone.calls("/orders")) sent.set(options.data, (sent.get(options.data) ?? 0) + 1);
    assert.ok(
      [...sent.values()].every((count) => count <= 2),
      "a request is sent twice at most",
    );
    assert.ok(this.phone.storage.size <= 1);
    return this.phone.events.length;
  }
}

test(`${SEEDS} drawn races: one login at a time, no proof twice, no token after a logout, nothing hangs`, async () => {
  let events = 0;
  for (let seed = 1; seed <= SEEDS; seed += 1) {
    const race = new Race(seed);
    try {
      await race.run();
      events += race.check();
    } catch (error) {
      error.message = `seed ${seed}: ${error.message}`;
      throw error;
    }
  }
  assert.ok(events > SEEDS * 5, `${events} events`);
});

// Plays one story of the package wxmint-miniprogram on a phone, against the real service, and fails unless it ends as expected:
//
//     node client.mjs '{"story":…,"person":…,"appid":…,"service":…,"simulator":…,"issuer":…,"password":…}'

import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";

import { Between } from "./between.mjs";
import { Peer } from "./peer.mjs";
import { Phone } from "./runtime.mjs";
import { Website } from "./website.mjs";

const LOGIN = "https://login.example.com";
const ORDERS = "https://api.example.com/orders";

const PAGE = ours("shop/page.js");
const PACKAGE = ours("package/miniprogram_dist/index.js");

function ours(path) {
  return fileURLToPath(new URL(path, import.meta.url));
}

/** The phone, and everything that it can reach. */
class World {
  events = [];

  constructor(given) {
    this.given = given;
    this.peer = new Peer({ issuer: given.issuer, jwks: `${given.service}/.well-known/jwks.json` });
    this.login = new Between(given.service);
  }

  async start() {
    await this.peer.start();
    this.api = new Between(this.peer.origin);
    await Promise.all([this.login.start(), this.api.start()]);
    this.phone = this.newPhone();
  }

  stop() {
    [this.peer, this.login, this.api].forEach((one) => one.stop());
  }

  newPhone() {
    const { person, appid, simulator } = this.given;
    return new Phone({
      person,
      appid,
      simulator,
      domains: { [LOGIN]: this.login.origin, "https://api.example.com": this.api.origin },
    });
  }

  /** Starts the mini program anew, and makes a client in it. */
  async client(options, phone = this.phone) {
    const { createClient } = (await phone.start()).require(PACKAGE);
    return createClient({ url: LOGIN, onEvent: ({ type }) => this.events.push(type), ...options });
  }

  /** How often wxmint has asked WeChat for a login. */
  async logins() {
    const { requests } = await (await fetch(`${this.given.simulator}/_simulator/stats`)).json();
    return requests["/sns/jscode2session"] ?? 0;
  }

  async control(path, method, body) {
    const headers = { "content-type": "application/json" };
    const answer = await fetch(`${this.given.simulator}/_simulator/${path}`, {
      method,
      headers,
      body: JSON.stringify(body),
    });
    if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
  }

  /** Faults of WeChat's answers to logins. */
  async wechat(...faults) {
    await this.control("faults", "PUT", { faults: faults.map((fault) => ({ path: "/sns/jscode2session", ...fault })) });
  }

  /** What wxmint says of a token. */
  async statusOf(token) {
    return (await fetch(`${this.given.service}/wechat/session`, { headers: { authorization: `Bearer ${token}` } }))
      .status;
  }

  /** The last token that wxmint has given. */
  lastToken() {
    return JSON.parse(this.login.passed.filter(({ path, status }) => path === "/login" && status === 200).at(-1).answer)
      .access_token;
  }
}

/** What a call comes to: a status, a value, or an error's code. */
async function outcome(call) {
  try {
    const value = await call;
    return value?.statusCode ?? value ?? "done";
  } catch ({ name, code, status }) {
    return name === "WxmintError" ? [code, status] : `${name}: not ours`;
  }
}

/** Taps again where a busy machine has checked the password too late. */
async function bound(client, account) {
  for (let taps = 1; ; taps += 1) {
    try {
      return await client.bind(account);
    } catch (error) {
      if (error.code !== "accounts_unavailable" || taps === 10) throw error;
    }
  }
}

const outcomes = (calls) => Promise.all(calls.map(outcome));
const times = (count, call) => Array.from({ length: count }, call);

async function until(condition) {
  for (let tries = 0; tries < 500; tries += 1) {
    if (await condition()) return;
    await new Promise((later) => setTimeout(later, 10));
  }
  throw new Error("not within 5 s");
}

const stories = {
  /** Fifty pages at a cold start; with a token; with one that a service refuses; and at the next start. */
  async fifty_pages_at_once_make_one_login_and_so_does_a_storm_of_401({ phone, peer, ...world }, { logins }) {
    const seen = [];
    const openAll = async (program) => {
      const before = await logins();
      const pages = await Promise.all(times(50, () => program.open(PAGE)));
      seen.push({
        logins: (await logins()) - before,
        users: [...new Set(pages.map(({ data }) => data.user))],
        problems: pages.filter(({ data }) => data.problem).length,
      });
    };
    const program = await phone.start();
    await openAll(program);
    await openAll(program);
    peer.refuseLast();
    await openAll(program);
    await openAll(await phone.start());
    return { seen, requests: peer.answers.length };
  },

  /** A wx.login that gives a code a second time, and one that gives it twice. */
  async a_spent_code_is_answered_by_one_new_wx_login(world) {
    const { phone, login } = world;
    const client = await world.client();
    const fresh = phone.logIn.bind(phone);
    const first = await fresh();
    let stale = [first];
    phone.logIn = async () => stale.shift() ?? fresh();
    const seen = [await outcome(client.login())];
    for (const count of [1, 2]) {
      stale = times(count, () => first);
      seen.push(await outcome(client.token().then(() => client.login())));
    }
    return {
      seen: seen.map((one) => (one.userId ? "logged in" : one)),
      statuses: login.passed.map(({ status }) => status),
      state: client.state().status,
    };
  },

  async a_login_in_flight_is_lost_to_a_logout_and_its_token_is_ended(world) {
    const { login } = world;
    const client = await world.client();
    const release = login.holds("/login");
    const waiting = outcomes([client.token(), client.login(), ...times(3, () => client.request({ url: ORDERS }))]);
    await until(() => login.count("/login") === 1);
    const out = outcome(client.logout());
    const seen = await waiting;
    release();
    await until(() => login.count("/logout") === 1);
    const late = world.lastToken();
    const after = await (await world.client()).state().status;
    const kept = {
      out: await out,
      ended: await world.statusOf(late),
      requests: world.api.passed.length,
      restarted: after,
    };
    const again = [
      await outcome(client.token()),
      (await client.login()).userId === undefined,
      await outcome(client.request({ url: ORDERS })),
    ];
    return { seen, kept, again, events: world.events };
  },

  /** WeChat bans somebody who is logged in. */
  async a_ban_ends_in_one_login_for_all_until_somebody_logs_in_again(world) {
    const { peer, given } = world;
    const client = await world.client();
    await client.request({ url: ORDERS });
    await world.control(`people/${given.person}`, "PUT", { blocked: true });
    peer.refuseLast();
    const before = await world.logins();
    const seen = await outcomes(times(5, () => client.request({ url: ORDERS })));
    await world.control(`people/${given.person}`, "PUT", { blocked: false });
    const later = await outcomes([
      client.token(),
      client.session.valid(),
      client.request({ url: ORDERS }),
      client.request({ url: ORDERS, auth: "optional" }),
    ]);
    const asked = (await world.logins()) - before;
    const state = client.state().status;
    await client.login();
    return { seen, later, asked, state, after: await outcome(client.request({ url: ORDERS })), events: world.events };
  },

  async without_a_network_every_call_is_offline_and_the_token_stays(world) {
    const { login, api, phone } = world;
    const client = await world.client();
    login.meets("/login", "unreachable");
    const seen = [await outcome(client.request({ url: ORDERS }))];
    const fresh = phone.logIn.bind(phone);
    phone.logIn = async () => {
      throw { errMsg: "login:fail" };
    };
    seen.push(await outcome(client.request({ url: ORDERS })));
    phone.logIn = fresh;
    await client.login();
    api.meets("/orders", "unreachable");
    seen.push(
      await outcome(client.request({ url: ORDERS })),
      await outcome(client.request({ url: "https://elsewhere.example.com/" })),
    );
    api.holds("/orders");
    seen.push(await outcome(client.request({ url: ORDERS, timeout: 100 })));
    const elsewhere = await world.client({ url: "https://elsewhere.example.com" });
    seen.push(
      await outcome(elsewhere.login()),
      await outcome((await world.client()).request({ url: ORDERS, timeout: 100, auth: "none" })),
    );
    return { seen, state: client.state().status };
  },

  /** Who the user is: two taps, a wrong password, a ticket that somebody has spent, a restart, and the end of the binding. */
  async a_person_is_bound_by_two_taps_by_a_spent_ticket_and_after_the_end_of_the_binding(world) {
    const { login, given } = world;
    const account = { username: "alice", password: given.password };
    const client = await world.client();
    const seen = [
      await outcome(client.request({ url: ORDERS })),
      await outcome(bound(client, { ...account, password: given.wrong_password })),
    ];
    const state = client.state().status;
    const taps = await outcomes([bound(client, account), bound(client, account)]);
    seen.push(
      await outcome(client.request({ url: ORDERS })),
      await outcome(client.unbind()),
      client.state().status,
      await outcome(client.login()),
    );
    const { bind_ticket } = JSON.parse(login.passed.at(-1).answer);
    const spent = { bind_ticket, ...account, password: given.wrong_password };
    const headers = { "content-type": "application/json" };
    const spend = () => fetch(`${given.service}/login`, { method: "POST", headers, body: JSON.stringify(spent) });
    await until(async () => (await spend()).status !== 503);
    world.events.length = 0;
    const ticketless = (await bound(client, account)).userId === taps[0].userId;
    return { seen, state, taps, ticketless, events: world.events };
  },

  /** What wxmint does with the session key, an end on another phone, and a logout everywhere. */
  async the_calls_of_the_session_key_and_a_logout_everywhere(world) {
    const { phone } = world;
    const client = await world.client();
    await client.login();
    const { encryptedData, iv } = await phone.weRunData();
    const steps = (await client.userData({ encryptedData, iv, errMsg: "ok" })).stepInfoList.length;
    const number = await client.phone((await phone.phoneNumber()).code);
    const session = [await client.session.valid(), await outcome(client.session.reset())];
    const wrong = [
      await outcome(client.phone("not-a-code-of-a-button")),
      await outcome(client.userData({ encryptedData: "AAAA", iv })),
    ];
    const other = await world.client({}, world.newPhone());
    await other.login();
    const ended = await other.token();
    world.events.length = 0;
    const everywhere = await outcome(client.logout({ everywhere: true }));
    const second = Math.floor(Date.now() / 1000); // a login in the same second would be ended too
    await until(() => Math.floor(Date.now() / 1000) > second);
    const elsewhere = await outcome(other.session.valid());
    return {
      steps,
      number: Object.keys(number),
      session,
      wrong,
      everywhere,
      ended: await world.statusOf(ended),
      elsewhere,
      events: world.events,
    };
  },

  /** The website's first user is scanned for by lin, whose phone loses an answer; others tap wrong, are mo, or say no. */
  async a_website_is_logged_in_as_the_phones_user_unless_by_a_wrong_number_another_person_or_a_no(world) {
    const { peer, phone, login } = world;
    const client = await world.client();
    const { userId } = await client.login();
    const website = new Website({ service: world.given.service, id: world.given.website });
    const scans = async () => {
      const asked = await website.asks();
      const { userCode } = client.scanned({ scene: encodeURIComponent(asked.user_code.toLowerCase()) });
      const approve = (match) => outcome(client.approve(userCode, { match }));
      return { asked, userCode, approve, device: await client.device(userCode) };
    };

    const first = await scans();
    login.meets(`/device/${first.userCode}/approve`, "lost");
    const approved = [];
    for (let tap = 0; tap < 3; tap += 1) approved.push(await first.approve(first.asked.match));
    const { access_token: token } = await website.polled(first.asked);
    await fetch(`${peer.origin}/orders`, { headers: { authorization: `Bearer ${token}` } });

    const second = await scans();
    const { choices } = second.device;
    const wrong = choices.find((number) => number !== second.asked.match);
    const spoilt = [await second.approve(wrong), await second.approve(second.asked.match)];

    const third = await scans();
    phone.person = "mo";
    const refused = [await third.approve(third.asked.match), await outcome(client.deny(third.userCode))];
    return {
      told: [first.device.clientName, first.device.address, choices.length, choices.includes(second.asked.match)],
      approved,
      isSameUser: peer.answers.at(-1).user === userId,
      usedUp: await outcome(client.deny(first.userCode)),
      spoilt: [...spoilt, (await website.polled(second.asked)).error],
      refused: [...refused, (await website.polled(third.asked)).error],
      state: client.state().status,
      events: world.events,
    };
  },
};

const [OFFLINE, LOGGED_OUT, BANNED, ASKED] = [
  ["offline", 0],
  ["logged_out", 0],
  ["user_blocked", 403],
  ["binding_required", 403],
];
const alice = "id-of-alice";
const pages = (logins) => ({ logins, users: [alice], problems: 0 });

/** What each story must have seen. */
const expected = {
  fifty_pages_at_once_make_one_login_and_so_does_a_storm_of_401: {
    seen: [pages(1), pages(0), pages(1), pages(0)],
    requests: 250,
  },
  a_spent_code_is_answered_by_one_new_wx_login: {
    seen: ["logged in", "logged in", ["code_used", 400]],
    statuses: [200, 400, 200, 400, 400],
    state: "logged_in",
  },
  a_login_in_flight_is_lost_to_a_logout_and_its_token_is_ended: {
    seen: Array(5).fill(LOGGED_OUT),
    kept: { out: "done", ended: 401, requests: 0, restarted: "logged_out" },
    again: [LOGGED_OUT, false, 200],
    events: ["logout", "login"],
  },
  // Without a token, the business's service answers 401.
  a_ban_ends_in_one_login_for_all_until_somebody_logs_in_again: {
    seen: Array(5).fill(BANNED),
    later: [BANNED, BANNED, BANNED, 401],
    asked: 1,
    state: "user_blocked",
    after: 200,
    events: ["login", "ended", "login"],
  },
  without_a_network_every_call_is_offline_and_the_token_stays: { seen: Array(7).fill(OFFLINE), state: "logged_in" },
  a_person_is_bound_by_two_taps_by_a_spent_ticket_and_after_the_end_of_the_binding: {
    seen: [ASKED, ["invalid_credentials", 403], 200, "done", "logged_out", ASKED],
    state: "binding_required",
    taps: Array(2).fill({ userId: alice, newUser: false }),
    ticketless: true,
    events: ["login"],
  },
  the_calls_of_the_session_key_and_a_logout_everywhere: {
    steps: 3,
    number: ["phoneNumber", "purePhoneNumber", "countryCode"],
    session: [true, "done"],
    wrong: [
      ["code_invalid", 400],
      ["decryption_failed", 422],
    ],
    everywhere: "done",
    ended: 401,
    elsewhere: true,
    events: ["logout", "ended", "login"],
  },
  a_website_is_logged_in_as_the_phones_user_unless_by_a_wrong_number_another_person_or_a_no: {
    told: ["晨光商城 网页版", "127.0.0.1", 3, true],
    approved: [OFFLINE, "done", "done"],
    isSameUser: true,
    usedUp: ["unknown_device_code", 404],
    spoilt: [["number_mismatch", 403], ["unknown_device_code", 404], "access_denied"],
    refused: [["forbidden", 403], "done", "access_denied"],
    state: "logged_in",
    events: ["login"],
  },
};

const { story, ...given } = JSON.parse(process.argv[2]);
const world = new World(given);
await world.start();
try {
  const seen = await stories[story](world, { logins: () => world.logins() });
  // The objects of the mini program are of another world of JavaScript than ours.
  assert.deepEqual(JSON.parse(JSON.stringify(seen)), expected[story]);
} finally {
  world.stop();
}

// A stand-in for a phone, for wxmint and for a business's service, in one process. Tests hold answers back, spoil them, and
// look at what was asked.

import { createRequire } from "node:module";

export const { createClient, WxmintError } = createRequire(import.meta.url)("../miniprogram_dist/index.js");

export const URL = "https://login.example.com";
export const ORDERS = "https://api.example.com/orders";
export const DAY = 86_400; // s

export const answer = (statusCode, data = "", header = {}) => ({ statusCode, data, header, errMsg: "request:ok" });

export function problem(status, code, more = {}) {
  const header = more.retry_after ? { "Retry-After": String(more.retry_after) } : {};
  return answer(
    status,
    { type: `urn:wxmint:problem:${code}`, status, detail: `About ${code}.`, code, request_id: "r-1", ...more },
    header,
  );
}

export const bindingRequired = (ticket = "ticket-0001") => problem(403, "binding_required", { bind_ticket: ticket });

/** What a platform gives to `fail`. */
export class Fail {
  constructor(cause = { errMsg: "request:fail timeout", errno: 5 }) {
    this.cause = cause;
  }
}

/** Microtasks and immediates until nothing more happens by itself. */
export async function settled() {
  for (let turn = 0; turn < 5; turn += 1) await new Promise(setImmediate);
}

export class Phone {
  time = 1_800_000_000_000; // ms
  storage = new Map();
  /** Everything that the platform was asked: `{ name, path, options, task }`. */
  asked = [];
  events = [];
  /** `(call) => answer | Fail | undefined`; undefined for the usual answer. */
  script = () => undefined;
  #holds = [];
  #codes = 0;
  #tokens = 0;
  #spent = new Set();
  refused = new Set();

  client(options = {}) {
    const now = () => this.time;
    return createClient({
      url: URL,
      platform: this.platform,
      now,
      onEvent: (event) => this.events.push(event),
      ...options,
    });
  }

  /** The same, with a login behind it. */
  async loggedIn(options) {
    const client = this.client(options);
    await client.login();
    this.asked.length = this.events.length = 0;
    return client;
  }

  later(seconds) {
    this.time += seconds * 1000;
  }

  /** Answers to `path` wait until they are released. `wx.login` is the path "wx.login". */
  hold(path) {
    const hold = { path, waiting: [] };
    this.#holds.push(hold);
    return async (number = Infinity) => {
      if (number === Infinity) this.#holds.splice(this.#holds.indexOf(hold), 1);
      hold.waiting.splice(0, number).forEach((give) => give());
      await settled();
    };
  }

  /** Answers with these in turn, then as usual. */
  answers(path, ...list) {
    const before = this.script;
    this.script = (call) => (call.path === path && list.length ? list.shift() : before(call));
  }

  paths() {
    return this.asked.map(({ path }) => path);
  }

  count(path) {
    return this.paths().filter((one) => one === path).length;
  }

  calls(path) {
    return this.asked.filter((call) => call.path === path);
  }

  /** The bodies of the logins. */
  logins() {
    return this.calls("/login").map(({ options }) => options.data);
  }

  tokensSent(path = "/orders") {
    return this.calls(path).map(({ options }) => options.header.Authorization);
  }

  platform = {
    login: (options) => this.#call("login", "wx.login", options),
    request: (options) => this.#call("request", pathOf(options.url), options),
    uploadFile: (options) => this.#call("uploadFile", pathOf(options.url), options),
    downloadFile: (options) => this.#call("downloadFile", pathOf(options.url), options),
    getStorageSync: (key) => (this.storage.has(key) ? JSON.parse(this.storage.get(key)) : ""),
    setStorageSync: (key, value) => void this.storage.set(key, JSON.stringify(value)),
    removeStorageSync: (key) => void this.storage.delete(key),
  };

  #call(name, path, options) {
    const call = { name, path, options, aborted: 0, progress: [] };
    this.asked.push(call);
    call.give = (given) => {
      const [callback, value] = given instanceof Fail ? ["fail", given.cause] : ["success", given];
      queueMicrotask(() => {
        options[callback]?.(value);
        options.complete?.(value);
      });
    };
    const give = () => call.aborted || call.give(this.script(call) ?? this.#usual(call));
    const hold = this.#holds.find((one) => one.path === path);
    if (hold) hold.waiting.push(give);
    else queueMicrotask(give);
    const abort = () => {
      call.aborted += 1;
      call.give(new Fail({ errMsg: "request:fail abort" }));
    };
    return { abort, onProgressUpdate: (listener) => call.progress.push(listener) };
  }

  #usual({ path, options }) {
    if (path === "wx.login") return { code: `code-${String(++this.#codes).padStart(4, "0")}`, errMsg: "login:ok" };
    if (path.endsWith("/login")) return this.#login(options.data);
    if (this.refused.has(options.header?.Authorization)) return answer(401, { code: "invalid_token" });
    if (["/logout", "/binding", "/wechat/session/reset"].includes(path)) return answer(204);
    if (/\/(approve|deny)$/.test(path)) return answer(204);
    return answer(200, { path, got: options.header?.Authorization });
  }

  #login({ code, bind_ticket: ticket }) {
    const proof = code ?? ticket;
    if (this.#spent.has(proof)) return problem(400, "code_used");
    this.#spent.add(proof);
    return answer(200, this.granted());
  }

  granted(more = {}) {
    const token = `token-${String(++this.#tokens).padStart(4, "0")}`;
    return {
      access_token: token,
      token_type: "Bearer",
      expires_in: DAY,
      user_id: "user-of-lin",
      new_user: false,
      ...more,
    };
  }
}

function pathOf(url) {
  return url.replace(/^https?:\/\/[^/]*/, "");
}

/** What a promise rejects with. */
export async function rejected(promise) {
  let resolved;
  try {
    resolved = await promise;
  } catch (error) {
    return error;
  }
  throw new Error(`resolved with ${JSON.stringify(resolved)}`);
}

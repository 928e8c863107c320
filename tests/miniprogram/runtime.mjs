// A stand-in for the runtime in which WeChat runs mini programs: enough of wx, Page, App and the phone for pages to run
// as they are published. WeChat's own part of wx.login is played by `wxmint simulator`.

import { Console } from "node:console";
import { readFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { createContext, Script } from "node:vm";

import { Requests } from "./request.mjs";

/** What outlives an app: whose phone it is, its clock and its storage. */
export class Phone {
  /** Every wx.request so far: what was asked, and what success or fail got. */
  network = [];
  /** Every wx.requestVirtualPayment. */
  payments = [];
  #storage = new Map();
  #ahead = 0; // ms
  #loggedIn = false;
  #old = 0; // so many of the next data are old
  /** More of wx: what has to do with pages (screen.mjs). */
  further = {};
  /** Told of each setData. */
  onData = () => {};

  /** `domains`: the registered domains, each with the server behind it. `packages`: files of npm's packages, by name. */
  constructor({ person, appid, simulator, domains, packages = {} }) {
    Object.assign(this, { person, appid, simulator, domains, packages });
  }

  now() {
    return Date.now() + this.#ahead;
  }

  /** Moves the phone's clock on; everybody else's stays. Timers take no notice, as on a phone that sleeps. */
  later(milliseconds) {
    this.#ahead += milliseconds;
  }

  /** Starts the mini program anew, from its app.js if it has one. Of an earlier start only the storage is left. */
  async start(appFile) {
    const program = new MiniProgram(this);
    if (appFile) await program.launch(appFile);
    return program;
  }

  /** Values are copied, as by JSON; "" where there is none. */
  read(key) {
    return this.#storage.has(key) ? JSON.parse(this.#storage.get(key)) : "";
  }

  has(key) {
    return this.#storage.has(key);
  }

  write(key, value) {
    this.#storage.set(key, JSON.stringify(value === undefined ? "" : value));
  }

  remove(key) {
    this.#storage.delete(key);
  }

  /** wx.login: a fresh code of the phone's person. */
  async logIn() {
    const { codes } = await this.#askWeChat("codes");
    this.#loggedIn = true;
    return { code: codes[0], errMsg: "login:ok" };
  }

  /** What the button getPhoneNumber tells its page. */
  async phoneNumber() {
    const { code } = await this.#askWeChat("phone-codes");
    return { code, errMsg: "getPhoneNumber:ok" };
  }

  /** Asks nobody, unlike the real one: whether anyone has logged in on this phone. */
  async checkSession() {
    if (!this.#loggedIn) throw { errMsg: "checkSession:fail" };
    return { errMsg: "checkSession:ok" };
  }

  /** wx.getWeRunData: sealed by WeChat with the session key of the last login. */
  async weRunData() {
    if (!this.#loggedIn) throw { errMsg: "getWeRunData:fail login required" };
    const age_seconds = this.#old-- > 0 ? 3600 : 0;
    const { encryptedData, iv } = await this.#askWeChat("user-data", { kind: "steps", days: 3, age_seconds });
    return { encryptedData, iv, errMsg: "getWeRunData:ok" };
  }

  /** The next `count` data are older than a server believes. */
  sealsOld(count) {
    this.#old = count;
  }

  /** wx.requestVirtualPayment: WeChat checks both signatures. */
  async pay({ mode, signData, paySig, signature }) {
    const { openid } = (await this.#control("PUT", `people/${this.person}`, {})).apps[this.appid];
    const paid = { openid, appid: this.appid, mode, signData, paySig, signature };
    const answer = await this.#control("POST", "virtual-payment", paid);
    this.payments.push({ errCode: answer.errCode ?? 0, order: JSON.parse(signData).outTradeNo });
    if (answer.errCode) throw answer;
    return answer;
  }

  /** UserCryptoManager.getLatestUserKey. `renew`: WeChat makes the next key. */
  userKey(renew = false) {
    return this.#askWeChat("user-key", renew ? { renew } : {});
  }

  async #askWeChat(path, more) {
    return this.#control("POST", path, { person: this.person, appid: this.appid, ...more });
  }

  async #control(method, path, members) {
    const [headers, body] = [{ "content-type": "application/json" }, JSON.stringify(members)];
    const answer = await fetch(`${this.simulator}/_simulator/${path}`, { method, headers, body });
    if (!answer.ok) throw { errMsg: `${path}:fail ${answer.status}` };
    return answer.json();
  }
}

/** One run of a mini program: a JavaScript world of its own. */
class MiniProgram {
  #phone;
  #requests;
  #context;
  #modules = new Map();
  #registered; // by App or Page, of the file that runs
  #app;
  #underWay = 0; // calls of wx, and timers, until their callbacks have returned
  #waiting = []; // whom to tell when there are none

  constructor(phone) {
    this.#phone = phone;
    this.#requests = new Requests(phone);
    const register = (definition) => (this.#registered = definition);
    const timers = { setTimeout: (...call) => this.#timer(...call), clearTimeout: (timer) => timer?.cancel() };
    const console = new Console(process.stderr);
    const globals = { wx: { ...this.#wx(), ...phone.further }, App: register, Page: register, getApp: () => this.#app, console, ...timers };
    this.#context = createContext(globals);
    new Script(MOVED_DATE).runInContext(this.#context)(() => phone.now());
  }

  /** Runs app.js. */
  async launch(file) {
    this.#app = this.#define(file, readFileSync(file, "utf8"));
    this.#app.onLaunch?.({});
    this.#app.onShow?.({});
  }

  /** Opens a page, and waits until nothing that it has begun is under way. `source` in place of the file's. */
  async open(file, source) {
    const page = this.define(file, source);
    this.begin(page, {});
    await this.atRest();
    return page;
  }

  /** A page as it is before anything of it runs. */
  define(file, source = readFileSync(file, "utf8")) {
    const page = this.#define(file, source);
    page.data = structuredClone(page.data ?? {});
    page.setData = (change) => {
      Object.assign(page.data, structuredClone(change));
      this.#phone.onData(page);
    };
    return page;
  }

  begin(page, query) {
    page.onLoad?.(query);
    page.onShow?.();
    page.onReady?.();
  }

  /** The same for something that its user does: a handler of the page and its event's `detail`. */
  async tap(page, handler, detail = {}) {
    page[handler]({ type: "tap", detail });
    await this.atRest();
  }

  /** What a file exports. */
  require(file) {
    if (!this.#modules.has(file)) this.#modules.set(file, this.#run(file, readFileSync(file, "utf8")));
    return this.#modules.get(file);
  }

  async atRest() {
    do {
      if (this.#underWay > 0) await new Promise((told) => this.#waiting.push(told));
      await new Promise(setImmediate); // what has been answered may begin more
    } while (this.#underWay > 0);
  }

  /** What the file gives to App or Page. */
  #define(file, source) {
    this.#run(file, source);
    return { ...this.#registered };
  }

  /** As a module, which is how WeChat loads every file. */
  #run(file, source) {
    const wrapped = new Script(`(function (require, module, exports) {${source}\n})`, { filename: file });
    const module = { exports: {} };
    const require = (path) => this.require(this.#phone.packages[path] ?? resolve(dirname(file), path));
    wrapped.runInContext(this.#context)(require, module, module.exports);
    return module.exports;
  }

  #wx() {
    const phone = this.#phone;
    const late = (name, work) => (options) => this.#callBack(options, async () => (await work(options)) ?? ok(name));
    return {
      login: late("login", () => phone.logIn()),
      checkSession: late("checkSession", () => phone.checkSession()),
      getWeRunData: late("getWeRunData", () => phone.weRunData()),
      requestVirtualPayment: late("requestVirtualPayment", (options) => phone.pay(options)),
      getUserCryptoManager: () => ({ getLatestUserKey: late("getLatestUserKey", () => phone.userKey()) }),
      request: (options) => this.#request(options),
      getStorageSync: (key) => phone.read(key),
      setStorageSync: (key, value) => phone.write(key, value),
      removeStorageSync: (key) => phone.remove(key),
      getStorage: late("getStorage", ({ key }) => found(phone, key)),
      setStorage: late("setStorage", ({ key, data }) => phone.write(key, data)),
      removeStorage: late("removeStorage", ({ key }) => phone.remove(key)),
    };
  }

  /** success or fail, then complete; a promise where none of them is given, which wx has since 2.10.2. */
  #callBack({ success, fail, complete } = {}, work) {
    const outcome = this.#occupied(work);
    if (!success && !fail && !complete) return outcome;
    const answered = outcome.then((value) => [success, value], (error) => [fail, error]);
    // What a callback throws ends the process, and with it the test.
    this.#occupied(async () => {
      const [callback, value] = await answered;
      callback?.(value);
      complete?.(value);
    });
  }

  /** Never a promise: its task can be aborted instead. */
  #request(options) {
    const { url, data, method = "GET" } = options;
    const noted = { method, url, data };
    this.#phone.network.push(noted);
    const complete = (answer) => {
      noted.answer = answer;
      options.complete?.(answer);
    };
    const abort = new AbortController();
    this.#callBack({ ...options, complete }, () => this.#requests.answer(options, abort.signal));
    return { abort: () => abort.abort() };
  }

  #timer(callback, milliseconds, ...rest) {
    let cancel;
    this.#occupied(async () => {
      const rings = await new Promise((done) => {
        const timer = setTimeout(done, milliseconds, true);
        cancel = () => (clearTimeout(timer), done(false));
      });
      if (rings) callback(...rest);
    });
    return { cancel: () => cancel() };
  }

  async #occupied(work) {
    this.#underWay += 1;
    try {
      return await work();
    } finally {
      this.#underWay -= 1;
      if (this.#underWay === 0) this.#waiting.splice(0).forEach((told) => told());
    }
  }
}

function ok(name) {
  return { errMsg: `${name}:ok` };
}

async function found(phone, key) {
  if (!phone.has(key)) throw { errMsg: "getStorage:fail data not found" };
  return { data: phone.read(key), ...ok("getStorage") };
}

/** `Date` by the phone's clock. */
const MOVED_DATE = `(now) => {
  globalThis.Date = class extends Date {
    constructor(...parts) {
      super(...(parts.length ? parts : [now()]));
    }
    static now() {
      return now();
    }
  };
}`;

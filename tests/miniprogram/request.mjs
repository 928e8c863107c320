// wx.request, with the defaults that WeChat documents and pages rely on:
// https://developers.weixin.qq.com/miniprogram/dev/api/network/request/wx.request.html

import { Agent, request as send } from "node:http";

const AT_ONCE = 10;
const TIMEOUT = 60_000; // ms
const JSON_TYPE = "application/json";
const FORM_TYPE = "application/x-www-form-urlencoded";

export class Requests {
  #waiting = [];
  #open = 0;
  #referer;
  #domains;
  #agent = new Agent({ keepAlive: false });

  /** `domains`: the mini program's registered domains, each with the server that stands behind it here. */
  constructor({ appid, domains }) {
    this.#referer = `https://servicewechat.com/${appid}/0/page-frame.html`;
    this.#domains = domains;
  }

  /** What success gets; or throws what fail gets. `signal` aborts. */
  async answer(options, signal) {
    await this.#turn();
    try {
      return await this.#exchange(options, signal);
    } catch (error) {
      throw { errMsg: `request:fail ${error.message}` };
    } finally {
      this.#open -= 1;
      this.#waiting.shift()?.();
    }
  }

  /** Ten at once; whoever comes later waits. */
  async #turn() {
    if (this.#open >= AT_ONCE) await new Promise((turn) => this.#waiting.push(turn));
    this.#open += 1;
  }

  async #exchange(options, signal) {
    if (signal.aborted) throw new Error("abort");
    const { url, body, ...sent } = wireForm(options);
    const server = this.#domains[url.origin];
    if (!server) throw new Error("url not in domain list");
    const headers = { ...sent.headers, host: url.host, referer: this.#referer };
    const place = new URL(url.pathname + url.search, server);
    const given = { method: sent.method, headers, agent: this.#agent };
    const answer = await exchange(place, given, body, { signal, timeout: options.timeout ?? TIMEOUT });
    return { ...answer, data: read(answer.data, options.dataType), errMsg: "request:ok" };
  }
}

/** Method, URL, headers and body that the options mean. */
function wireForm({ url, method = "GET", header = {}, data }) {
  const headers = { "content-type": JSON_TYPE, ...lowerCase(header) };
  const whole = new URL(url);
  if (method.toUpperCase() === "GET") {
    if (isFields(data)) whole.search += `${whole.search ? "&" : "?"}${query(data)}`;
    return { method: "GET", url: whole, headers };
  }
  const body = isFields(data) ? fieldsAsBody(data, headers["content-type"]) : data;
  return { method: method.toUpperCase(), url: whole, headers, body };
}

function lowerCase(header) {
  return Object.fromEntries(Object.entries(header).map(([name, value]) => [name.toLowerCase(), String(value)]));
}

/** Texts are sent as they are. */
function isFields(data) {
  return typeof data === "object" && data !== null;
}

function fieldsAsBody(fields, contentType) {
  return contentType.startsWith(FORM_TYPE) ? query(fields) : JSON.stringify(fields);
}

function query(fields) {
  return Object.entries(fields)
    .map(([name, value]) => `${encodeURIComponent(name)}=${encodeURIComponent(value)}`)
    .join("&");
}

function exchange(place, given, body, { signal, timeout }) {
  let timer;
  const answered = new Promise((resolve, reject) => {
    const request = send(place, given, (response) => collect(response).then(resolve, reject));
    request.on("error", reject);
    timer = setTimeout(() => request.destroy(new Error("timeout")), timeout);
    signal.addEventListener("abort", () => request.destroy(new Error("abort")));
    request.end(body);
  });
  return answered.finally(() => clearTimeout(timer));
}

async function collect(response) {
  const pieces = [];
  for await (const piece of response) pieces.push(piece);
  return { statusCode: response.statusCode, header: response.headers, data: Buffer.concat(pieces).toString() };
}

/** JSON is read as such, whatever the content type; what is none stays text. */
function read(text, dataType = "json") {
  if (dataType !== "json") return text;
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

// A proxy between the phone and a server, which tests have fail: it loses answers, or holds them back.

import { createServer } from "node:http";

export class Between {
  /** `{ method, path, authorization, status, answer }` of what the server has answered. */
  passed = [];
  #target;
  #faults = [];
  #holds = new Map();
  #server = createServer((request, response) => this.#pass(request, response).catch(() => response.destroy()));

  constructor(target) {
    this.#target = target;
  }

  async start() {
    await new Promise((listening) => this.#server.listen(0, "127.0.0.1", listening));
    this.origin = `http://127.0.0.1:${this.#server.address().port}`;
  }

  stop() {
    this.#server.close();
    this.#server.closeAllConnections?.();
  }

  /** What the next requests to a path meet, in turn: "lost" (the server acts, and its answer does not arrive) or "unreachable". */
  meets(path, ...faults) {
    this.#faults.push(...faults.map((fault) => ({ path, fault })));
  }

  /** Holds back the server's answers to a path until the function that it returns is called. */
  holds(path) {
    let release;
    this.#holds.set(path, new Promise((released) => (release = released)));
    return () => (this.#holds.delete(path), release());
  }

  count(path) {
    return this.passed.filter((one) => one.path === path).length;
  }

  async #pass(request, response) {
    const { method, url: path, headers } = request;
    let body = "";
    for await (const piece of request) body += piece;
    const fault = this.#fault(path);
    if (fault === "unreachable") return response.destroy();
    const { authorization, host, connection, "content-length": length, ...others } = headers;
    const sent = authorization ? { ...others, authorization } : others;
    const answered = await fetch(this.#target + path, { method, headers: sent, body: body || undefined });
    const answer = await answered.text();
    this.passed.push({ method, path, authorization, status: answered.status, answer });
    await this.#holds.get(path);
    if (fault === "lost") return response.destroy();
    response.writeHead(answered.status, Object.fromEntries(answered.headers)).end(answer);
  }

  #fault(path) {
    const place = this.#faults.findIndex((one) => one.path === path);
    return place < 0 ? undefined : this.#faults.splice(place, 1)[0].fault;
  }
}

// A business's own service: it verifies tokens with jose, and asks nobody but the JWKS.

import { createServer } from "node:http";

import { createRemoteJWKSet, jwtVerify } from "jose";

export class Peer {
  /** What it has answered: status, and the token's user or why it was refused. */
  answers = [];
  /** The last token that it took. */
  token;
  #server = createServer((request, response) => this.#answer(request, response));
  #keys;
  #expected;
  #refused = new Set();
  #refusesAll = false;
  #behind;

  /** `behind`: the service that believes X-User-Id, if the peer is the proxy before one. */
  constructor({ issuer, jwks, behind }) {
    this.#behind = behind;
    this.#keys = createRemoteJWKSet(new URL(jwks));
    const algorithms = ["ES256", "EdDSA", "RS256"];
    const requiredClaims = ["sub", "exp"];
    this.#expected = { issuer, audience: issuer, typ: "at+jwt", algorithms, requiredClaims, clockTolerance: 60 };
  }

  async start() {
    await new Promise((listening) => this.#server.listen(0, "127.0.0.1", listening));
    this.origin = `http://127.0.0.1:${this.#server.address().port}`;
  }

  stop() {
    this.#server.close();
  }

  /** From now on 401 for the last token, as after a logout elsewhere. */
  refuseLast() {
    this.#refused.add(this.token);
  }

  /** From now on 401 for every token. */
  refuseAll() {
    this.#refusesAll = true;
  }

  async #answer(request, response) {
    const answer = await this.#user(tokenOf(request));
    if (answer.status === 200) this.token = tokenOf(request);
    this.answers.push(answer);
    if (answer.status === 200 && this.#behind) return this.#forward(request, response, answer.user);
    response.writeHead(answer.status, { "content-type": "application/json" });
    response.end(JSON.stringify({ user: answer.user, orders: [`an order of ${answer.user}`] }));
  }

  async #forward(request, response, user) {
    const parts = [];
    for await (const part of request) parts.push(part);
    const asked = { method: request.method, headers: { "x-user-id": user }, body: Buffer.concat(parts) };
    const answer = await fetch(this.#behind + request.url, asked);
    response.writeHead(answer.status, { "content-type": "application/json" }).end(await answer.text());
  }

  async #user(token) {
    if (this.#refusesAll || this.#refused.has(token)) return { status: 401, why: "refused" };
    try {
      const { payload } = await jwtVerify(token, this.#keys, this.#expected);
      return { status: 200, user: payload.sub };
    } catch (error) {
      return { status: 401, why: error.code };
    }
  }
}

/** Where the pages put it. */
function tokenOf({ headers }) {
  return headers.authorization?.replace(/^Bearer /, "") ?? headers.sessionid ?? headers.token ?? "";
}

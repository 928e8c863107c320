// Runs the test vectors of the revocation feed against the example in Node.
//
// Usage: node run.mjs FOLDER_OF_VECTORS, beside revocations.mjs
import { readFileSync } from "node:fs";
import { createLocalJWKSet, decodeJwt, decodeProtectedHeader } from "jose";
import { Revocations } from "./revocations.mjs";

const folder = process.argv[2];
const RealDate = Date;
let now = 0;
globalThis.Date = class extends RealDate {
  constructor(...given) {
    super(...(given.length ? given : [now * 1000]));
  }
  static now() {
    return now * 1000;
  }
};
// More than a minute passes between two pages, so that each trouble is told.
let uptime = 0;
performance.now = () => uptime;
globalThis.setTimeout = () => ({ unref() {} });
globalThis.clearTimeout = () => {};

const END = "no more pages";
let page;
let asked;
let troubles = [];
// A page answers one cursor, also if it is asked for again.
globalThis.fetch = async (url) => {
  asked ??= String(url);
  if (asked !== String(url)) throw new Error(END);
  return { status: 200, body: new Response(page).body };
};
console.warn = (text) => troubles.push(text);

class Follower {
  constructor({ issuer, jwks }) {
    const keys = createLocalJWKSet(jwks);
    const named = (header, token) => {
      if (typeof header.kid !== "string") throw new Error("no kid");
      return keys(header, token);
    };
    this.revocations = new Revocations(issuer, () => named, async () => {});
  }

  async take(text) {
    [page, asked, troubles] = [text, undefined, []];
    uptime += 61_000;
    await this.revocations.follow();
    const own = troubles.filter((trouble) => !trouble.endsWith(END) && !trouble.endsWith("newest page is old"));
    return own.length ? "refuse" : "accept";
  }

  judge(token) {
    if (this.revocations.has(decodeProtectedHeader(token), decodeJwt(token))) return "refuse";
    return this.revocations.age === Infinity ? "unavailable" : "accept";
  }
}

const groups = (name) => JSON.parse(readFileSync(`${folder}/${name}`)).testGroups;
const faults = [];
let count = 0;
const expect = (test, result, expected) => {
  count += 1;
  if (result !== expected) faults.push(`${test}: ${result}, and not ${expected}`);
};

for (const group of groups("pages.json")) {
  now = group.now;
  for (const test of group.tests) {
    const result = await new Follower(group).take(test.page);
    expect(`page ${test.tcId}, ${test.comment}`, result, test.result);
  }
}
for (const group of groups("sequences.json")) {
  const follower = new Follower(group);
  for (const test of group.tests) {
    now = test.now;
    const result = test.page === undefined ? follower.judge(test.token) : await follower.take(test.page);
    expect(`step ${test.tcId}, ${group.comment}`, result, test.result);
  }
}

console.log([`${count} tests, ${faults.length} faults`, ...faults].join("\n"));
process.exitCode = faults.length ? 1 : 0;

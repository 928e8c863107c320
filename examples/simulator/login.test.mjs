// Tests a back end with the simulator in place of WeChat: `node --test`. Here wxmint is the back end; start yours instead.
// With Vitest or Jest, import { beforeAll as before, afterAll as after, test } from "vitest" or "@jest/globals".
import { after, before, test } from "node:test";
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { createInterface } from "node:readline";

const processes = [];
let wechat, backend;

// Runs wxmint until the tests end, and returns what `says` finds in the lines of this stream.
async function start(words, stream, says, options) {
  const child = spawn("wxmint", words, options);
  processes.push(child);
  const lines = [];
  for await (const line of createInterface({ input: child[stream] })) {
    const found = says.exec(line);
    if (found) return found[1];
    lines.push(line);
  }
  throw new Error(`wxmint ${words[0]} has ended: ${lines.join("\n")}`);
}

before(async () => {
  wechat = await start(["simulator", "--listen", "127.0.0.1:0"], "stdout", /listens on (\S+)/);
  const cwd = mkdtempSync(`${tmpdir()}/wxmint-`);
  execFileSync("wxmint", ["init", "--demo"], { cwd });
  const ports = { WXMINT_LISTEN: "127.0.0.1:0", WXMINT_ADMIN_LISTEN: "127.0.0.1:0" };
  const env = { ...process.env, ...ports, WXMINT_WECHAT_URL: wechat };
  backend = `http://${await start(["serve"], "stderr", /"public":"([^"]+)"/, { cwd, env })}`;
});

after(() => processes.forEach((child) => child.kill()));

async function send(method, url, body) {
  const headers = { "content-type": "application/json" };
  const answer = await fetch(url, { method, headers, body: JSON.stringify(body) });
  return { status: answer.status, ...(await answer.json()) };
}

// Sends the back end a code of wx.login, as the mini program does.
async function logIn(person) {
  const { codes } = await send("POST", `${wechat}/_simulator/codes`, { person });
  return send("POST", `${backend}/login`, { code: codes[0] });
}

test("a person is the same user at each login", async () => {
  const [first, second] = [await logIn("lin"), await logIn("lin")];
  assert.deepEqual([first.status, first.new_user, second.new_user], [200, true, false]);
  assert.equal(first.user_id, second.user_id);
});

test("a login that WeChat limits is 429", async () => {
  const faults = [{ kind: "errcode", errcode: 45011, times: 1 }];
  await send("PUT", `${wechat}/_simulator/faults`, { faults });
  const { status, code } = await logIn("mei");
  assert.deepEqual([status, code], [429, "rate_limited"]);
});

// Each step as a command for a shell, to be copied. What can be used only once, such as a code, the command gets anew.

import { chip, copyText, el } from "./dom.js";
import { APPS } from "./people.js";
import { succeeded } from "./steps.js";
import { words } from "./words.js";

const CODE = "grep -oE '[0-9A-Za-z]{32}'"; // in the simulator's answers, and in nothing else there
const PASSER_BY = "guest-0-0"; // whose token nobody on the page has
const LOUD = "-sS -i -w '\\n'"; // with status and headers, and a line's end where the body has none
const TOKEN = "grep -oE 'eyJ[^\"]+'";

/** One request. `$name` in `body` or `bearer` is the shell's variable. */
function curl(method, path, { body, bearer, quiet } = {}) {
  const parts = ["curl", quiet ? "-sS" : LOUD];
  if (method !== (body ? "POST" : "GET")) parts.push("-X", method); // which curl does not know by itself
  if (bearer) parts.push("-H", inShell(`Authorization: Bearer ${bearer}`));
  if (body) parts.push("-H", "'Content-Type: application/json'", "-d", inShell(JSON.stringify(body)));
  return [...parts, inShell(location.origin + path)].join(" ");
}

/** Quoted for a shell, but for the variables that the commands below set. */
function inShell(text) {
  return `'${text.replaceAll("'", "'\\''").replace(/\$(code|phone_code|token)\b/g, (name) => `'"${name}"'`)}'`;
}

function logInLines({ person, appid, by, username, password }, quiet) {
  const body = { person, appid };
  const codes = [`code=$(${curl("POST", "/_simulator/codes", { body, quiet: true })} | ${CODE})`];
  if (by === "phone")
    codes.push(`phone_code=$(${curl("POST", "/_simulator/phone-codes", { body, quiet: true })} | ${CODE})`);
  const identity = { password: { username, password }, phone: { phone_code: "$phone_code" } };
  return [...codes, curl("POST", "/login", { body: { appid, code: "$code", ...identity[by] }, quiet })];
}

const logIn = (attempt) => logInLines(attempt).join("\n");

/** By WeChat alone: who is bound gets a token, and anybody else is asked who it is. */
const logInByWeChat = ({ person, appid }) => logIn({ person, appid });

function tokenLines(attempt) {
  const lines = logInLines(attempt, true);
  return [...lines.slice(0, -1), `token=$(${lines.at(-1)} | ${TOKEN})`];
}

/** Logs in, and sends one more request with the token. */
const withToken = (attempt, method, path) => [...tokenLines(attempt), curl(method, path, { bearer: "$token" })].join("\n");

/** Logs in and sends the request, or shows how the login was refused. */
const ifLoggedIn = (attempt, path) => (succeeded(attempt.reply) ? withToken(attempt, "GET", path) : logIn(attempt));

/** Binds again first, because the attempt has dissolved the binding and revoked its token. */
function unbind({ person, appid, credentials }) {
  const by = credentials.username ? "password" : "phone";
  return withToken({ person, appid, by, ...credentials }, "DELETE", "/binding");
}

/** Sends once more what works only once. */
function sendAgain({ appid, code, ticket }) {
  const proof = ticket ? { bind_ticket: ticket, username: "lin", password: "-" } : { appid, code };
  return curl("POST", "/login", { body: proof });
}

const journal = ({ since }) => curl("GET", `/_simulator/journal?since=${since}`);
const simulated = (path) => ({ person, appid }) => curl("POST", path, { body: { person, appid } });
const sendSealed = ({ handed, token }) => {
  const { encryptedData, iv } = handed.answer.body;
  return curl("POST", "/wechat/userdata", { body: { encryptedData, iv }, bearer: token });
};

/** By step: its own request, or one of wxmint's API that shows what the step has left behind. */
const COMMANDS = {
  phoneCode: simulated("/_simulator/phone-codes"),
  code: simulated("/_simulator/codes"),
  post: logIn,
  claim: sendAgain,
  ticket: sendAgain,
  session: journal,
  record: (attempt) => ifLoggedIn(attempt, "/wechat/session"),
  number: journal,
  account: journal,
  bind: logInByWeChat,
  answer: (attempt) => ifLoggedIn(attempt, "/verify"),
  verify: () => curl("GET", "/.well-known/jwks.json"),
  unbind,
  dissolve: logInByWeChat,
  unbound: unbind,
  handed: ({ person, appid, handedBody }) => curl("POST", "/_simulator/user-data", { body: { person, appid, ...handedBody } }),
  userData: sendSealed,
  unseal: ({ token }) => curl("GET", "/wechat/session", { bearer: token }),
  opened: sendSealed,
};

/** A token that a service serves, until it reads that the token was revoked. */
export function ending() {
  const asking = curl("GET", "/demo/orders", { bearer: "$token" });
  return [
    ...tokenLines({ person: PASSER_BY, appid: APPS.tea, by: "phone" }),
    asking,
    curl("POST", "/logout", { bearer: "$token" }),
    `while ${asking.replace(LOUD, "-sSf -o /dev/null")}; do sleep 1; done`,
  ].join("\n");
}

/** Publishes the next key, and lists those that are published. */
export const rotating = () => [curl("PUT", "/demo/keys/next"), curl("GET", "/.well-known/jwks.json")].join("\n");

/** Asks the sidecar about a token. */
export const verifying = (token) => curl("GET", "/verify", { bearer: token });

/** The command of a step that has been taken. */
export const commandOf = (step, attempt) => COMMANDS[step](attempt);

/** A button that copies what `command()` returns, and shows it. `label` says what it does, if there are several. */
export function asCurl(testid, command, label = words().asCurl) {
  const shown = el("pre", { className: "command", tabIndex: 0, "data-testid": `curl-${testid}-command` });
  const box = el("div", { className: "as-curl" });
  const button = chip(`curl-${testid}`, label, () => {
    shown.textContent = command();
    box.append(shown);
    copyText(shown.textContent, button, shown, words().copied);
  });
  box.append(button);
  return box;
}

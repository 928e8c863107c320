// The users table: one line for each change, the last line of an id counts. In your service this is a database.
import { appendFileSync, existsSync, readFileSync } from "node:fs";

const FILE = "users.ndjson";
let users = read();

function read() {
  const lines = existsSync(FILE) ? readFileSync(FILE, "utf8").trim().split("\n").filter(Boolean) : [];
  return new Map(lines.map((line) => JSON.parse(line)).map((user) => [String(user.id), user]));
}

export function all() {
  return [...users.values()];
}

export function save(user) {
  appendFileSync(FILE, `${JSON.stringify(user)}\n`);
  users.set(String(user.id), user);
  return user;
}

// Another process may have added somebody since the file was read.
function find(matches) {
  const found = () => all().find(matches);
  return found() ?? ((users = read()), found());
}

export function ofOpenid(openid) {
  return find((user) => user.openid === openid);
}

export function add(person) {
  const numbers = all().map((user) => user.id).filter(Number.isInteger);
  return save({ id: Math.max(0, ...numbers) + 1, ...person });
}

// A person who came first to wxmint has an id that wxmint has made.
export function known(id) {
  return users.get(id) ?? find((user) => String(user.id) === id) ?? save({ id });
}

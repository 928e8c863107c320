// A page for tests in Node: a clock that moves when told to, a window, a document, sessionStorage, and a server that answers
// by a script. It has to be imported before the library runs, and `load` begins each test.

const real = { setImmediate, Response };
let time, timers, answers;

/** What has been asked since `load`: `{ at, path, headers, fields }`, with `at` in seconds. */
export let asked;
/** sessionStorage, which a reload keeps. */
export let storage;

Object.assign(globalThis, {
  setTimeout: (run, wait) => timers.push({ run, at: time + Math.max(0, wait || 0) }) && timers.at(-1),
  clearTimeout: (timer) => void (timers = timers.filter((other) => other !== timer)),
  fetch: answer,
});
Date.now = () => time;

/** Loads a page. `kept`: the storage of the page before. */
export function load({ kept = {}, now = 1_800_000_000_000 } = {}) {
  [time, timers, answers, asked, storage] = [now, [], [], [], kept];
  const [window, document] = [new EventTarget(), Object.assign(new EventTarget(), { hidden: false })];
  Object.assign(globalThis, { document, sessionStorage: storage });
  for (const name of ["addEventListener", "dispatchEvent"]) globalThis[name] = window[name].bind(window);
  load.at = now;
}

export function hide(hidden) {
  document.hidden = hidden;
  document.dispatchEvent(new Event("visibilitychange"));
}

/** The page goes away; what it leaves for the next one. */
export function unload() {
  dispatchEvent(new Event("pagehide"));
  return { kept: structuredClone(storage), now: time };
}

/** The answers from now on: `[status, body, headers]`, a body's text as it is; `"lost"` for none, `"never"` for one that does not come. */
export function script(...next) {
  answers = next;
}

async function answer(path, { headers, body, signal, method }) {
  if (method !== "POST") throw new Error(method);
  asked.push({ at: (time - load.at) / 1000, path, headers, fields: Object.fromEntries(body) });
  if (!answers.length) throw new Error(`nothing is prepared for ${path}`);
  const next = answers.length > 1 ? answers.shift() : answers[0]; // the last one again and again
  if (next === "lost") throw new TypeError("fetch failed");
  if (next === "never") return new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
  const [status, said, more] = next;
  return new real.Response(typeof said === "string" ? said : JSON.stringify(said), { status, headers: more });
}

/** Moves the clock on by seconds: timers run when their time has come, each after what the one before has brought about. */
export async function pass(seconds) {
  const end = time + seconds * 1000;
  for (;;) {
    await settled();
    const [next] = timers.filter(({ at }) => at <= end).sort((one, other) => one.at - other.at);
    if (!next) break;
    clearTimeout(next);
    time = Math.max(time, next.at);
    next.run();
  }
  time = end;
}

/** The clock without its timers, as in a page that the browser has put to sleep. */
export function sleep(seconds) {
  time += seconds * 1000;
}

export async function settled() {
  for (let turn = 0; turn < 8; turn++) await new Promise((resolve) => real.setImmediate(resolve));
}

// What every story needs: a browser that notes its faults, and the page's own signs of what has happened.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { chromium } from "playwright-core";

const FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"];
const MORE_FLAGS = ["--disable-component-update", "--disable-sync"];
export const PATIENCE = 60_000; // ms; on a busy machine too, all that is waited for has happened well before
// Paths that may refuse a request; a story adds its own.
export const REFUSING = ["/login", "/binding", "/demo/orders", "/verify"];
// Without motion, where there are many logins.
export const DESK = { viewport: { width: 1280, height: 860 }, colorScheme: "light", reducedMotion: "reduce" };

export const [address, shots, only] = process.argv.slice(2);
export const origin = address && new URL(address).origin;
export const faults = []; // what a page did that it must not do, at any time
export const shown = []; // texts of the diagram

export function launch() {
  return chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium-headless-shell", args: [...FLAGS, ...MORE_FLAGS] });
}

export const browser = await launch();

export async function open(options, path = "/") {
  const context = await browser.newContext(options);
  context.setDefaultTimeout(PATIENCE);
  await context.exposeFunction("contradicts", (text) => faults.push(`the page contradicts itself: ${text}`));
  await context.addInitScript(watchAgreement);
  const page = await context.newPage();
  watch(page);
  await load(page, path);
  return page;
}

export async function load(page, path = "/") {
  await page.goto(`${origin}${path}`);
  await seen(page, "html[data-ready]");
}

/** Runs in the page: after each change of it, all places that say something of the token in the box must say the same. */
function watchAgreement() {
  const one = (id) => document.querySelector(`[data-testid=${id}]`);
  const found = () => {
    const token = document.getElementById("token-view")?.hidden === false && one("token");
    if (!token || !one("verdict")) return [];
    const said = one("verdict").dataset.verdict;
    const statuses = ["service", "sidecar"].map((name) => one(`answer-${name}`)?.dataset.status ?? "none").join();
    const ended = one("check-ended")?.dataset.state;
    const mayEnd = one("end-logout").getAttribute("aria-disabled") === "false";
    const clock = one("end-clock");
    const { app, sessions = {} } = JSON.parse(sessionStorage.getItem("wxmint.phone") ?? "{}");
    const user = one("verdict").querySelector("p").textContent.split(/[:：]/)[0];
    const spoiled = one("spoiled-count").textContent !== "";
    const rules = {
      "accepted, and a check failed": said === "accepted" && document.querySelector("[data-testid=checks] .failed"),
      "accepted, and not all services serve": said === "accepted" && statuses !== "200,200",
      "accepted, and a line of the checks is open": said === "accepted" && ended !== "passed",
      "accepted, and spoiled": said === "accepted" && spoiled,
      "accepted, and the phone has another token": said === "accepted" && sessions[app] && sessions[app].answer.access_token !== token.textContent,
      "accepted, and the card names another user": said === "accepted" && one("member-user-id") && one("member-user-id").textContent !== user,
      "accepted, and the user is banned": said === "accepted" && one(`lift-${user}`),
      "refused, and a service serves": said === "refused" && statuses.includes("200"),
      "refused, and no check says why": said === "refused" && !document.querySelector("[data-testid=checks] .failed"),
      "revoked, and every service refuses": said === "ending" && !statuses.includes("200"),
      "can be revoked, and is not accepted": mayEnd && said !== "accepted",
      "a time before anything was revoked": clock.dataset.state === "idle" && clock.textContent,
      "the clock runs for a token that is accepted": clock.dataset.state === "running" && said === "accepted",
    };
    return Object.keys(rules).filter((rule) => rules[rule]);
  };
  let last = "";
  new MutationObserver(() => {
    const now = found().join(", ");
    if (now && now !== last) globalThis.contradicts(now);
    last = now;
  }).observe(document, { subtree: true, childList: true, attributes: true, characterData: true });
}

/** Notes whatever a page must not do. A refusal by `REFUSING` is an answer, though the console reports it as an error. */
function watch(page) {
  page.on("pageerror", (error) => faults.push(`script error: ${error.message}`));
  page.on("console", (message) => {
    const refused = mayRefuse(message.location().url) && /status of [45]\d\d/.test(message.text());
    if (["error", "warning"].includes(message.type()) && !refused) faults.push(`console: ${message.text()}`);
  });
  page.on("request", (request) => {
    const url = request.url();
    if (!url.startsWith(`${origin}/`) && !url.startsWith("data:")) faults.push(`request to another origin: ${url}`);
  });
  // A page takes back what is under way when it is left: that is no fault.
  page.on("requestfailed", (request) => {
    const why = request.failure()?.errorText;
    if (why !== "net::ERR_ABORTED") faults.push(`failed: ${request.url()} ${why}`);
  });
  page.on("response", (response) => {
    if (response.status() >= 400 && !mayRefuse(response.url())) faults.push(`${response.status()} from ${response.url()}`);
  });
}

function mayRefuse(url) {
  return REFUSING.some((path) => url === `${origin}${path}`);
}

export async function seen(page, selector) {
  try {
    await page.locator(selector).first().waitFor({ state: "attached", timeout: PATIENCE });
  } catch {
    throw new Error(`expected to see ${selector} within ${PATIENCE / 1000} s`);
  }
}

export function expect(actual, wanted, what) {
  if (actual !== wanted) throw new Error(`expected ${what} to be ${JSON.stringify(wanted)}, got ${JSON.stringify(actual)}`);
}

export async function check(name, prove) {
  try {
    await prove();
  } catch (error) {
    throw new Error(`${name}: ${error.message}${faults.length ? ` (and: ${faults.join("; ")})` : ""}`);
  }
  console.log(`ok  ${name}`);
}

/** Holds what is shown against the rules of axe-core, if AXE names a file of it. */
export async function axe(page, view) {
  if (!process.env.AXE) return;
  const client = await page.context().newCDPSession(page);
  await client.send("Runtime.evaluate", { expression: readFileSync(process.env.AXE, "utf8") });
  const run = "axe.run().then((r) => JSON.stringify(r.violations.map((v) => [v.id, v.nodes.map((n) => n.html)])))";
  const { result } = await client.send("Runtime.evaluate", { expression: run, awaitPromise: true });
  expect(result.value, "[]", `axe's violations of ${view}`);
}

export async function picture(page, name) {
  if (!shots && !process.env.AXE) return;
  await atRest(page);
  await page.evaluate(() => scrollTo(0, 0));
  await page.evaluate(() => {
    const ending = document.getAnimations().filter((animation) => animation.effect.getTiming().iterations === 1);
    return Promise.allSettled(ending.map((animation) => animation.finished));
  });
  await axe(page, name);
  if (shots) await page.screenshot({ path: join(shots, `${name}.png`), fullPage: true });
}

/** Opens the tab that an element is in, if it is in one. */
export async function show(locator) {
  const panel = await locator.first().evaluate((element) => element.closest("[id^=panel-]")?.id);
  const tab = panel && locator.page().locator(`#tab-${panel.slice("panel-".length)}`);
  if (tab && (await tab.getAttribute("aria-selected")) === "false") await tab.click();
  return locator;
}

export async function press(page, testid) {
  await (await show(page.getByTestId(testid))).click();
}

/** Waits until the page takes the next login. */
export function atRest(page) {
  return seen(page, ".primary:not(.busy)");
}

/** Waits for the end of a login that leads to `code`. */
export async function outcome(page, code) {
  await seen(page, `[data-testid=problem][data-code=${code}]`);
  await atRest(page);
}

/** Waits for the end of a login that succeeds as it should. Returns the user id. */
export async function loggedIn(page, { how, userId, isNew }) {
  await seen(page, `[data-testid=member-how][data-how=${how}]`);
  await seen(page, "[data-step=verify][data-state=done]");
  await atRest(page);
  expect(await page.getByTestId("member-badge").getAttribute("data-new"), String(isNew), "new_user");
  const found = await page.getByTestId("member-user-id").textContent();
  if (userId) expect(found, userId, "the user id");
  return found;
}

/** Checks the states of steps by their names, and keeps what they show. */
export async function states(page, wanted) {
  for (const [step, state] of Object.entries(wanted)) await seen(page, `[data-step=${step}][data-state=${state}]`);
  shown.push(await page.locator("#diagram").textContent());
}

/** Nothing to be scrolled for: neither the page sideways nor, on the drawn phone, its screen. */
export async function fits(page, widest) {
  const [width, hidden] = await page.evaluate(() => {
    const { scrollHeight, clientHeight } = document.getElementById("screen");
    return [document.documentElement.scrollWidth, scrollHeight - clientHeight];
  });
  expect(width <= widest, true, `a page of at most ${widest} px, not ${width} px`);
  expect(hidden <= 0, true, `the phone's screen without ${hidden} px below its edge`);
}

export async function changePerson(page, name) {
  await page.getByTestId("leave").click();
  await page.getByTestId(`person-${name}`).check();
}

/** The token is where a person sees it, nothing covers it, and the page has not moved from `top` px. */
export async function tokenInView(page, top) {
  await seen(page, "[data-testid=verdict][data-verdict=accepted]");
  const isCovered = () => {
    const box = document.querySelector("[data-testid=token]");
    const { left, right, top: upper, bottom: lower } = box.getBoundingClientRect();
    return [upper + 12, lower - 12].some((y) => !box.contains(document.elementFromPoint((left + right) / 2, y)));
  };
  expect(await page.evaluate(isCovered), false, "a token that is out of view or covered");
  expect(await page.evaluate(() => scrollY), top, "how far the page is scrolled");
}

/** Waits until the services accept the token of the login that has just been made. */
export async function isAccepted(page) {
  await seen(page, "[data-testid=verdict][data-verdict=accepted]");
  await seen(page, "[data-testid=end-logout][aria-disabled=false]");
}

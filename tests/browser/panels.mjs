// What surrounds a login on the page: what is in view, commands to copy, the sidecar, keys, services.

import { execFileSync } from "node:child_process";
import {
  DESK,
  PATIENCE,
  atRest,
  axe,
  changePerson,
  check,
  expect,
  fits,
  isAccepted,
  load,
  loggedIn,
  open,
  origin,
  outcome,
  picture,
  press,
  seen,
  show,
  states,
  tokenInView,
} from "./means.mjs";

const SIZES = [
  [1280, 720],
  [1024, 768],
  [390, 844],
];
const WIDTHS = [320, 390, 768, 1280, 1600];
const TABS = ["login", "token", "scan", "services", "users", "keys", "faults"];
const LEAD = 12; // s, of the demo's keys

// ---- the stories ----

/** What is in view at a login, and what a reload leaves. */
export async function views() {
  for (const [width, height] of SIZES) {
    for (const reducedMotion of ["no-preference", "reduce"]) {
      await check(`${width}×${height}, motion ${reducedMotion}: right after a login the token is in view, and the page does not move`, () =>
        staysInView({ width, height }, reducedMotion),
      );
    }
  }
  await check("1280×720: a login fits from the headline to its last step, in both languages", fitsOneScreen);
  await check("320 to 1600 px, in both languages: no label covers a line of the diagram or another label", coversNoLine);
  const page = await open({ ...DESK, locale: "en-US" });
  await check("the stand-in WeChat takes 50 ms", () => takesItsTime(page));
  await check("a reload keeps the token, and who holds the phone", () => keepsToken(page));
  await check("a token that was revoked meanwhile is not kept", () => dropsEndedToken(page));
  await page.context().close();
}

/** Each step as a command that runs in a shell. */
export async function steps() {
  const page = await open({ ...DESK, locale: "en-US", permissions: ["clipboard-read", "clipboard-write"] });
  await press(page, "login");
  await loggedIn(page, { how: "silent", userId: "user-lin", isNew: false });
  await check("a login, step by step, in a shell", () =>
    runs(page, { code: 200, post: 200, claim: 400, session: 200, record: 200, answer: 200, verify: 200 }),
  );
  await logsInAgain(page);
  await press(page, "steps");
  await states(page, { opened: "done" });
  await check("data that WeChat has sealed, in a shell", () =>
    runs(page, { handed: 200, userData: 200, unseal: 200, opened: 200 }),
  );
  await check("a login with a password by a bind ticket, in a shell", () => runsTicket(page));
  await check("a login by phone number, in a shell", () => runsPhone(page));
  await logsInAgain(page);
  await press(page, "unbind");
  await states(page, { unbound: "done" });
  await check("an unbinding, in a shell", () => runs(page, { unbind: 204, dissolve: 403, unbound: 204 }));
  await page.context().close();
}

/** The pages of docs. */
export const docs = () => check("dark, in English: every page, from 320 to 1600 px, whole tables, notes and links to examples", () => readsPages("en", "dark"));

export async function docsInChinese() {
  await check("light, in Chinese: every page, in the same ways", () => readsPages("zh", "light"));
  await check("an address without a language leads to the browser's", () => speaksBrowsersLanguage());
  await check("the search finds a part of a page in both languages, by the keyboard alone", () => searchesPages());
}

/** The panels beside the login. */
export async function panels() {
  const page = await open({
    ...DESK,
    viewport: { width: 1280, height: 720 },
    locale: "en-US",
    permissions: ["clipboard-read", "clipboard-write"],
  });
  await check("the sidecar names the user of a token in a shell", () => asksSidecar(page));
  await check("a logout in a shell, which the service obeys", () => endsInShell(page));
  await check("a rotation publishes a key, lets it sign after the lead, and spoils no token", () => rotates(page));
  await check("the pages of docs are there in both languages", () => linksPages(page));
  await page.context().close();
  await check("320 to 1600 px: no panel is too wide, in both languages", fitsPanels);
}

// ---- what is in view ----

async function staysInView(viewport, reducedMotion) {
  const page = await open({ viewport, reducedMotion, locale: "zh-CN" });
  const attempts = [
    () => page.getByTestId("login").click(),
    async () => {
      await changePerson(page, "new");
      await page.getByTestId("login-by-phone").click();
      await page.getByTestId("allow").click();
    },
    () => page.getByTestId("log-in-again").click(),
  ];
  for (const attempt of attempts) {
    await page.evaluate(() => scrollTo(0, 0));
    await attempt();
    const top = await page.evaluate(() => scrollY); // a click brings its button into view first
    await seen(page, "[data-step=verify][data-state=done]");
    await atRest(page);
    await tokenInView(page, top);
  }
  await page.context().close();
}

async function fitsOneScreen() {
  for (const locale of ["en-US", "zh-CN"]) {
    const page = await open({ ...DESK, viewport: { width: 1280, height: 720 }, locale });
    await page.getByTestId("login").click();
    await atRest(page);
    await tokenInView(page, 0);
    const places = await page.evaluate(() =>
      ["h1", "[data-step=verify]"].map((which) => document.querySelector(which).getBoundingClientRect()),
    );
    expect(
      places[0].top >= 0 && places[1].bottom <= 720,
      true,
      `a diagram that ends within 720 px, not at ${places[1].bottom}`,
    );
    await page.context().close();
  }
}

/** The lines are in the tracks; the numbers, texts and times beside or above them, or in their place where it is narrow. */
async function coversNoLine() {
  for (const locale of ["en-US", "zh-CN"]) {
    const page = await open({ ...DESK, locale });
    const attempts = ["login", "steps", "unbind", "login-by-phone"];
    for (const attempt of attempts) {
      await press(page, attempt);
      if (attempt === "login-by-phone") await press(page, "allow");
      await atRest(page);
      for (const width of [320, 390, 640, 767, 768, 820, 1023, 1024, 1199, 1200, 1280, 1600]) {
        await page.setViewportSize({ width, height: 900 });
        const covered = await page.evaluate(() => {
          const overlap = (a, b) => a.left < b.right - 0.5 && b.left < a.right - 0.5 && a.top < b.bottom - 0.5 && b.top < a.bottom - 0.5;
          const shown = (which) => [...document.querySelectorAll(`#diagram ${which}`)].filter((element) => element.checkVisibility());
          // Of the letters, because a word that is too long leaves its element.
          const letters = (element) => {
            const range = document.createRange();
            range.selectNodeContents(element);
            return range.getBoundingClientRect();
          };
          const isRead = (element) => getComputedStyle(element).clipPath === "none";
          const texts = shown(".label, .ms, .number, .party strong, .party span, .route").filter(isRead).map(letters);
          const [lines, arrows] = [".track", ".line"].map((which) => shown(which).map((element) => element.getBoundingClientRect()));
          const crowded = texts.filter((text, n) => text.width && [...lines, ...texts.slice(n + 1)].some((other) => overlap(text, other)));
          const stray = arrows.filter((line) => !lines.some((track) => line.left >= track.left - 1 && line.right <= track.right + 1));
          const isNarrow = shown(".route").some(isRead);
          return [lines.length > 2, isNarrow, crowded.length, stray.length].join();
        });
        expect(covered, `${width >= 768},${width < 768},0,0`, `lanes, words in their place, covered texts and stray arrows at ${width} px after ${attempt}, ${locale}`);
      }
    }
    await page.context().close();
  }
}

async function takesItsTime(page) {
  await press(page, "login");
  await loggedIn(page, { how: "silent", userId: "user-lin", isNew: false });
  const [, ms] = (await page.locator("[data-step=session] .ms").textContent()).match(/^(\d+) ms$/);
  expect(Number(ms) >= 50, true, `at least 50 ms, not ${ms}`);
}

async function keepsToken(page) {
  const token = await page.getByTestId("token").textContent();
  await load(page);
  expect(await page.getByTestId("member-user-id").textContent(), "user-lin", "the user id after a reload");
  expect(await page.getByTestId("token").textContent(), token, "the token after a reload");
  await seen(page, "[data-testid=verdict][data-verdict=accepted]");
  await isAccepted(page);
  const other = await open({ ...DESK, locale: "en-US" });
  expect(await other.getByTestId("login").count(), 1, "logins in a tab of its own");
  await other.context().close();
}

async function dropsEndedToken(page) {
  await press(page, "end-logout");
  await seen(page, "[data-testid=login]");
  await seen(page, "[data-testid=end-clock][data-state=stopped]");
  await load(page);
  expect(await page.getByTestId("login").count(), 1, "the login after a reload");
}

// ---- commands ----

/** Copies the command of each step, runs it in a shell, and compares the last status. */
async function runs(page, wanted) {
  await atRest(page);
  for (const [step, status] of Object.entries(wanted)) {
    const row = page.locator(`[data-step=${step}]`);
    if (!(await row.evaluate((details) => details.open))) await (await show(row.locator("summary"))).click();
    const command = await copied(page, step);
    const output = execFileSync("sh", ["-euc", command], { encoding: "utf8" });
    const statuses = [...output.matchAll(/^HTTP\/1\.1 (\d+)/gm)].map((match) => Number(match[1]));
    expect(statuses.at(-1), status, `the status that ${step} gets by: ${command}`);
    if (step === "claim" || step === "ticket")
      expect(output.includes('"code":"code_used"'), true, "a code that was used");
    if (status === 200 && ["post", "userData"].includes(step))
      expect(/"(access_token|data)":/.test(output), true, "what was asked for");
  }
}

async function copied(page, name) {
  await press(page, `curl-${name}`);
  await page.getByTestId(`curl-${name}`).filter({ hasText: "Copied" }).waitFor();
  const text = await page.evaluate(() => navigator.clipboard.readText());
  expect(await page.getByTestId(`curl-${name}-command`).textContent(), text, "the command that is shown");
  return text;
}

/** A login in a shell has ended the token of this phone. */
async function logsInAgain(page) {
  const before = await page.getByTestId("token").textContent();
  await press(page, "log-in-again");
  await page.waitForFunction((token) => document.querySelector("[data-testid=token]").textContent !== token, before);
  await atRest(page);
}

async function runsTicket(page) {
  await changePerson(page, "chen");
  await press(page, "login");
  await outcome(page, "binding_required");
  await runs(page, { post: 403, answer: 403 });
  await press(page, "bind");
  await loggedIn(page, { how: "password", userId: "user-chen", isNew: false });
  await runs(page, { post: 200, ticket: 400, account: 200, bind: 200, answer: 200 });
}

async function runsPhone(page) {
  await changePerson(page, "wang");
  await press(page, "login-by-phone");
  await press(page, "allow");
  await loggedIn(page, { how: "phone", isNew: true });
  await runs(page, { phoneCode: 200, post: 200, number: 200, account: 200 });
}

// ---- the panels ----

async function asksSidecar(page) {
  await press(page, "login");
  await atRest(page);
  await isAccepted(page);
  const output = execFileSync("sh", ["-euc", await copied(page, "sidecar")], { encoding: "utf8" });
  expect(/^x-user-id: user-lin\r$/m.test(output), true, "X-User-Id in a shell");
}

async function endsInShell(page) {
  const output = execFileSync("sh", ["-euc", await copied(page, "ending")], { encoding: "utf8", timeout: PATIENCE });
  expect(
    [...output.matchAll(/^HTTP\/1\.1 (\d+)/gm)].map((match) => match[1]).join(" "),
    "200 204",
    "the statuses of a request and a logout",
  );
}

async function rotates(page) {
  const kids = () =>
    page.evaluate(async () =>
      (await (await fetch("/.well-known/jwks.json", { cache: "no-cache" })).json()).keys.map((key) => key.kid),
    );
  const rows = page.locator(".key-row");
  const of = (attribute) =>
    rows.evaluateAll((all, name) => all.map((row) => row.getAttribute(name)).join(" "), attribute);
  const [old] = await kids();
  expect(await of("data-state"), "signing", "the keys before");
  await press(page, "rotate-keys");
  await seen(page, ".key-row[data-state=published]");
  expect(await of("data-state"), "signing published", "the keys during the lead");
  expect(await of("data-kid"), (await kids()).join(" "), "the kids, as the JWKS has them");
  const wait = async () => Number((await rows.last().textContent()).match(/signs in (\d+) s/)[1]);
  const before = await wait();
  expect(before > 0 && before <= LEAD + 1, true, `a lead of ${LEAD} s, not ${before} s`);
  await picture(page, "keys-published");
  await page.waitForFunction((at) => Number(/signs in (\d+) s/.exec(document.querySelector(".key-row:last-child").textContent)?.[1]) < at, before);
  await seen(page, `.key-row[data-kid="${old}"] [data-testid=key-token][data-status='200']`);
  await seen(page, ".key-row:last-child[data-state=signing] [data-testid=key-token][data-status='200']");
  await seen(page, `.key-row[data-state=retired][data-kid="${old}"] [data-testid=key-token][data-status='200']`);
  expect(/stays until/.test(await rows.first().textContent()), true, "until when the old key stays");
  await picture(page, "keys-rotated");
  await logsInAgain(page);
  const header = (await page.getByTestId("token").textContent()).split(".")[0];
  expect(JSON.parse(Buffer.from(header, "base64url")).kid, (await kids())[1], "the key of a new login");
  const output = execFileSync("sh", ["-euc", await copied(page, "keys")], { encoding: "utf8" });
  expect(output.match(/"kid"/g).length, 3, "the keys after a rotation in a shell");
}

async function linksPages(page) {
  for (const language of ["en", "zh-CN"]) {
    expect(await page.locator("html").getAttribute("lang"), language, "the language");
    const paths = await page.locator("[data-page]").evaluateAll((links) => links.map((link) => link.getAttribute("href")));
    expect(paths.length > 4, true, "pages to read on");
    for (const path of paths) expect((await page.request.get(origin + path)).status(), 200, path);
    await page.getByTestId("language").click();
  }
}

/** Every page of docs in windows of each size. src/cli/demo/files.rs follows the links. */
async function readsPages(language, colorScheme) {
  const page = await open({ ...DESK, colorScheme }, `/pages/${language}/`);
  const index = await page.locator(".index :is(a, p)").evaluateAll((all) => all.map((one) => [one.textContent, one.getAttribute("href")]));
  const names = index.map(([name]) => name);
  expect(names.filter((name, n) => names.indexOf(name) !== n).join(), "", "names that the index has twice");
  const paths = index.map(([, path]) => path).filter(Boolean);
  expect(paths.length > 15, true, "pages");
  for (const path of [...paths, `/pages/${language}/examples/peers/`]) {
    await load(page, path);
    // The pages with the widest tables at every width.
    for (const width of /settings|verify/.test(path) ? WIDTHS : [320, 768, 1280]) {
      await page.setViewportSize({ width, height: 900 });
      const wrong = await page.evaluate(async () => {
        for (const _ of "12") await new Promise(requestAnimationFrame); // the page hears of its new size
        const text = (element) => element.textContent.slice(0, 40);
        const cut = [...document.querySelectorAll(".wide")].filter((box) => box.scrollWidth > box.clientWidth).map(text);
        const grey = [...document.querySelectorAll(".file")].filter((file) => /examples/.test(file.dataset.file ?? file.textContent)).map(text);
        const notes = document.querySelector("article").textContent.match(/\[\^\w+\]/g) ?? [];
        return [document.documentElement.scrollWidth <= innerWidth, ...cut, ...grey, ...notes].join("; ");
      });
      expect(wrong, "true", `${path} at ${width} px: a page that fits, and what is cut, grey or no note`);
    }
    const current = await page.locator(".index [aria-current]").getAttribute("href").catch(() => path);
    if (paths.includes(path)) expect(current, path, "the page that the index marks");
    await axe(page, path);
  }
  await page.locator("#language").click();
  await seen(page, `html[lang=${language === "en" ? "zh-CN" : "en"}] .text h1`);
  await page.context().close();
}

async function speaksBrowsersLanguage() {
  for (const [locale, language] of [["zh-CN", "zh"], ["en-US", "en"], ["de-DE", "en"]]) {
    const page = await open({ ...DESK, locale });
    for (const [path, place] of [["/pages", ""], ["/pages/keys", "keys"]]) {
      await load(page, path);
      expect(new URL(page.url()).pathname, `/pages/${language}/${place}`, `where ${path} leads with ${locale}`);
    }
    await page.context().close();
  }
}

async function searchesPages() {
  for (const [language, sought, heading] of [["en", "open Closed", "Open or closed"], ["zh", "open closed", "open 还是 closed"]]) {
    const page = await open({ ...DESK, locale: "en-US" }, `/pages/${language}/`);
    await page.keyboard.press("/");
    await page.keyboard.type(sought);
    await seen(page, `#found li:first-child b >> text=${heading}`);
    await page.keyboard.press("Enter");
    await page.waitForURL("**/pages/**#**");
    expect(await page.evaluate(() => document.querySelector(decodeURIComponent(location.hash)).textContent), heading, "the part that was found");
    await page.locator("#search").fill("qwertyuiop <b>");
    await seen(page, "#found li:not(:has(*))");
    await page.locator("#search").fill("");
    await seen(page, "#found[hidden]");
    await page.context().close();
  }
}

async function fitsPanels() {
  for (const [locale, colorScheme] of [["en-US", "dark"], ["zh-CN", "light"]]) {
    const page = await open({ ...DESK, locale, colorScheme });
    await press(page, "login");
    await isAccepted(page);
    await atRest(page);
    for (const tab of TABS) {
      await page.locator(`#tab-${tab}`).click();
      if (tab === "login") await page.locator("[data-step=post] summary").click();
      for (const button of await page.locator("[data-testid^=curl-]:visible").all()) await button.click();
      for (const width of WIDTHS) {
        await page.setViewportSize({ width, height: 900 });
        await fits(page, width);
        await picture(page, `${tab}-${width}-${locale}`);
      }
    }
    await page.context().close();
  }
}

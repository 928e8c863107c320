// What is in view on the page, at each width.

import {
  DESK, atRest, changePerson, check, expect, fits, isAccepted, load,
  loggedIn, open, picture, press, seen, tokenInView,
} from "./means.mjs";

const SIZES = [
  [1280, 720],
  [1024, 768],
  [390, 844],
];
const WIDTHS = [320, 390, 768, 1280, 1600];
const TABS = ["login", "token", "services", "scan"];

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
  await check("320 to 1600 px, in both languages: no panel is too wide, no part of one sticks out, and what is named is there", fitsPanels);
  const page = await open({ ...DESK, locale: "en-US" });
  await check("the stand-in WeChat takes 50 ms", () => takesItsTime(page));
  await check("a reload keeps the token, and who holds the phone", () => keepsToken(page));
  await check("a token that was revoked meanwhile is not kept", () => dropsEndedToken(page));
  await page.context().close();
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
    const attempts = ["login", "unbind", "login-by-phone"];
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

async function fitsPanels() {
  for (const [locale, colorScheme] of [["en-US", "dark"], ["zh-CN", "light"]]) {
    const page = await open({ ...DESK, locale, colorScheme });
    await press(page, "login");
    await isAccepted(page);
    await atRest(page);
    for (const tab of TABS) {
      await page.locator(`#tab-${tab}`).click();
      if (tab === "login") await page.locator("[data-step=post] summary").click();
      for (const width of WIDTHS) {
        await page.setViewportSize({ width, height: 900 });
        await fits(page, width);
        await isWhole(page, `${tab} at ${width} px, ${locale}`);
        await picture(page, `${tab}-${width}-${locale}`);
      }
    }
    await page.context().close();
  }
}

/** Nothing sticks out of its card, no step is written smaller than 13 px, and the diagram's lanes are named only where they are drawn. */
async function isWhole(page, where) {
  const found = await page.evaluate(() => {
    const isShown = (element) => element.checkVisibility() && getComputedStyle(element).clipPath === "none";
    const parts = [...document.querySelectorAll(".card *")].filter(isShown);
    const wide = parts.filter((part) => part.getBoundingClientRect().right > part.closest(".card").getBoundingClientRect().right + 1);
    const small = parts.filter((part) => part.matches(".label, .route") && parseFloat(getComputedStyle(part).fontSize) < 13);
    const [named, drawn] = [".lanes", "#diagram .parties"].map((one) => document.querySelector(one).checkVisibility());
    return [...[...wide, ...small].map((part) => part.className || part.tagName), named === drawn].join();
  });
  expect(found, "true", `what sticks out or is small, and whether what is named is drawn: ${where}`);
}

// What a mini program's user sees and does: its pages in Chromium, drawn by glass-easel, WeChat's own engine for WXML.
// As on a phone, the pages' JavaScript runs elsewhere (runtime.mjs); data goes to the screen, and events come back.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

import { TmplGroup } from "glass-easel-template-compiler";

import { Phone } from "./runtime.mjs";

const STYLE = readFileSync(fileURLToPath(new URL("screen.css", import.meta.url)), "utf8");
const ENGINE = join(dirname(createRequire(import.meta.url).resolve("glass-easel")), "glass_easel.all.js");
const GLASS = `<!doctype html><meta name="color-scheme" content="light dark"><style>${STYLE}</style>
<header><i></i><span></span></header><iframe name="page"></iframe>`;

export class Screen {
  /** Whether the user declines to give the phone number. */
  declines = false;
  /** The path of the page that is open. */
  path;
  #tab;
  #phone;
  #folder;
  #app;
  #program;
  #page;
  #asked; // what wx.showModal asks, until it is answered
  #drawn = Promise.resolve();

  /** `tab`: of a browser. `folder`: the mini program's, as WeChat's developer tools open it. */
  constructor(tab, phone, folder) {
    Object.assign(phone, { further: this.#wx(), onData: (page) => this.#drawData(page) });
    this.#tab = tab;
    this.#phone = phone;
    this.#folder = folder;
    this.#app = this.#json("app.json");
  }

  async turnOn() {
    const getPhoneNumber = () => (this.declines ? { errMsg: "getPhoneNumber:fail user deny" } : this.#phone.phoneNumber());
    await this.#tab.exposeFunction("toPage", (handler, event) => void this.#page[handler](event));
    await this.#tab.exposeFunction("getPhoneNumber", getPhoneNumber);
    await this.#tab.exposeFunction("follow", (name, url) => void this.#phone.further[name]({ url }));
    await this.#tab.setContent(GLASS);
  }

  /** Starts the mini program anew, at its first page, or at that of a code that has been scanned. */
  async start(url = `/${this.#app.pages[0]}`) {
    this.#program = await this.#phone.start(join(this.#folder, "app.js"));
    this.#open({ url });
    await this.atRest();
  }

  /** Of the page that is open. */
  find(selector) {
    return this.#tab.frameLocator("iframe").locator(selector);
  }

  async tap(selector) {
    await this.find(selector).click();
    await this.atRest();
  }

  /** Answers what wx.showModal asks. */
  async answer(text) {
    await this.#tab.locator("dialog button", { hasText: text }).click();
    await this.#asked;
    await this.atRest();
  }

  /** Until nothing that has begun is under way, and all of it is drawn. */
  async atRest() {
    let drawn;
    do {
      drawn = this.#drawn;
      await drawn;
      await this.#tab.frame("page").evaluate(untilAllIsTold).catch(() => {}); // the page has been left
      await this.#program.atRest();
    } while (drawn !== this.#drawn);
  }

  #json(path) {
    return JSON.parse(this.#text(path));
  }

  #text(path) {
    return readFileSync(join(this.#folder, path), "utf8");
  }

  /** The part of wx that has to do with pages. */
  #wx() {
    return {
      reLaunch: async (options) => this.#open(options),
      redirectTo: async (options) => this.#open(options),
      navigateTo: async (options) => this.#open(options, true),
      showToast: async ({ title }) => this.#draw(() => this.#tab.evaluate(drawToast, title)),
      showModal: (options) => (this.#asked = this.#tab.evaluate(drawModal, options)),
    };
  }

  #open({ url }, mayGoBack = false) {
    const [path, query] = url.slice(1).split("?");
    if (!this.#app.pages.includes(path)) throw new Error(`${path} is not among the pages of app.json`);
    this.path = path;
    this.#page = this.#program.define(join(this.#folder, `${path}.js`));
    const isHandler = (name) => typeof this.#page[name] === "function" && name !== "setData";
    const handlers = Object.keys(this.#page).filter(isHandler);
    const window = { ...this.#app.window, ...this.#json(`${path}.json`) };
    const themes = this.#json(this.#app.themeLocation);
    const template = this.#template(path);
    this.#draw(async () => {
      await this.#tab.evaluate(drawBar, { window, themes, mayGoBack });
      const frame = this.#tab.frame("page");
      const style = `${STYLE}${inPixels(this.#text("app.wxss"))}`;
      await frame.goto("about:blank"); // a world of its own for each page
      await frame.setContent(`<!doctype html><style>${style}</style><script>exports = {}</script>`);
      await frame.addScriptTag({ path: ENGINE });
      await frame.evaluate(mount, { path, template, handlers });
    });
    this.#drawData(this.#page);
    this.#program.begin(this.#page, Object.fromEntries(new URLSearchParams(query?.replaceAll("%", "%25"))));
  }

  /** As JavaScript. What the compiler only warns of, such as a tag that is not closed, is an error here. */
  #template(path) {
    const templates = new TmplGroup();
    const [warning] = templates.addTmpl(path, this.#text(`${path}.wxml`));
    if (warning) throw new Error(`${path}.wxml:${warning.startLine + 1}: ${warning.message}`);
    return templates.getTmplGenObjectGroups();
  }

  #drawData(page) {
    if (page !== this.#page) return; // it has been left
    const data = structuredClone(page.data);
    this.#draw(() => this.#tab.frame("page").evaluate((data) => globalThis.root.setData(data), data));
  }

  /** One after the other. */
  #draw(act) {
    this.#drawn = this.#drawn.then(act);
  }
}

/** A phone with the sample, examples/mini-program. `folder`: of wxmint-miniprogram as npm publishes it; `given`: of a Phone. */
export async function turnOnSample(tab, sample, { package: folder, ...given }) {
  const { name, miniprogram } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
  // Where 构建 npm of the developer tools finds it.
  const phone = new Phone({ ...given, packages: { [name]: join(folder, miniprogram, "index.js") } });
  const screen = new Screen(tab, phone, sample);
  await screen.turnOn();
  return { phone, screen };
}

/** 750 rpx are the width of every screen. */
function inPixels(style) {
  return style.replace(/([\d.]+)rpx/g, "calc($1 * 100vw / 750)");
}

// ---- in the browser: WeChat's own part of the screen, and its components ----

function drawBar({ window, themes, mayGoBack }) {
  const [bar, back, name] = ["header", "i", "span"].map((selector) => document.querySelector(selector));
  name.textContent = window.navigationBarTitleText;
  back.hidden = !mayGoBack;
  const isDark = matchMedia("(prefers-color-scheme: dark)");
  const coloured = (value) => (value.startsWith("@") ? themes[isDark.matches ? "dark" : "light"][value.slice(1)] : value);
  const dress = () => {
    bar.style.background = coloured(window.navigationBarBackgroundColor);
    bar.style.color = coloured(window.navigationBarTextStyle);
  };
  isDark.onchange = dress;
  dress();
}

function drawToast(title) {
  document.querySelector("output")?.remove();
  document.body.appendChild(document.createElement("output")).textContent = title;
}

function drawModal({ title, content }) {
  const dialog = document.body.appendChild(document.createElement("dialog"));
  for (const [name, text] of [["strong", title], ["p", content], ["button", "取消"], ["button", "确定"]]) {
    dialog.appendChild(document.createElement(name)).textContent = text;
  }
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.onclick = ({ target }) => {
      if (target.localName !== "button") return;
      dialog.remove();
      resolve({ confirm: target.textContent === "确定" });
    };
  });
}

async function untilAllIsTold() {
  let told;
  do await (told = globalThis.told);
  while (told !== globalThis.told);
}

function mount({ path, template, handlers }) {
  const { ComponentSpace, Component, CurrentWindowBackendContext, Element, Event } = globalThis.exports;
  const content = (0, eval)(template)[path];
  globalThis.told = Promise.resolve(); // until all that a finger has begun is known outside
  const telling = (act) => void (globalThis.told = Promise.all([globalThis.told, act]));
  const event = ({ detail, currentTarget: { dataset } }) => ({ detail, currentTarget: { dataset } });
  const told = (handler) => [handler, (given) => telling(globalThis.toPage(handler, event(given)))];
  const methods = Object.fromEntries(handlers.map(told));
  const definition = new ComponentSpace().defineComponent({ template: { content }, methods });
  const context = new CurrentWindowBackendContext();
  context.onEvent((...event) => void Event.triggerEvent(...event)); // of a finger: tap
  const root = Component.createWithContext("page", definition, context);
  Element.replaceDocumentElement(root, document.body, document.body.appendChild(document.createElement("span")));
  globalThis.root = root;

  for (const input of document.querySelectorAll("input[password]")) input.type = "password";
  // A form of WeChat's is submitted by a button with a form-type, and by no other.
  const ignore = (event) => (event.preventDefault(), event.stopImmediatePropagation());
  document.addEventListener("submit", ignore, true);
  document.addEventListener("click", ({ target }) => {
    const touched = target.closest("button, navigator");
    const openType = touched?.getAttribute("open-type");
    if (touched?.localName === "navigator") {
      telling(globalThis.follow(openType === "redirect" ? "redirectTo" : "navigateTo", touched.getAttribute("url")));
    } else if (openType === "getPhoneNumber") {
      const trigger = (detail) => touched.__wxElement.triggerEvent("getphonenumber", detail);
      telling(globalThis.getPhoneNumber().then(trigger));
    } else if (touched?.getAttribute("form-type") === "submit") {
      const form = touched.closest("form");
      const typed = [...form.querySelectorAll("input")].map((input) => [input.name, input.value]);
      form.__wxElement.triggerEvent("submit", { value: Object.fromEntries(typed) });
    }
  });
}

import config from "./config.mjs";
import { scan } from "./wxmint-web.mjs";
import { words } from "./words.mjs";

const LOOK = 3_000; // ms between two questions whether the user is still logged in
const SIGNS = { scanned: "M14 25l7 7 13-15", denied: "M16 16l16 16M32 16L16 32", expired: "M24 13v12l8 5", failed: "M24 13v14M24 33v1" };

const zh = /^zh/i.test(navigator.language);
const word = words[zh ? "zh" : "en"];
const one = (selector) => document.querySelector(selector);
let session; // of who is logged in; without a back end, its token is in memory only, and a reload logs out

document.documentElement.lang = zh ? "zh-CN" : "en";
document.title = word.title;
for (const element of document.querySelectorAll("[data-word]")) element.textContent = word[element.dataset.word];

/** Asks our own site by its cookie, or a service by the token. */
function ask(url, method) {
  return fetch(url, { method, headers: session?.token && { Authorization: `Bearer ${session.token}` } });
}

function show(state) {
  const { status, code } = state;
  one("#login").dataset.status = status;
  one("#veil").hidden = !(status in SIGNS);
  one("#number").hidden = !code?.match;
  if (status in SIGNS) {
    one("#veil p").textContent = word[status];
    one("#veil path").setAttribute("d", SIGNS[status]);
    one("#again").hidden = status === "scanned";
  }
  if (code) draw(code);
  if (status === "scanned") one("#note").hidden = true;
  if (status === "approved") loggedIn(state.answer);
}

function draw({ user_code, mini_program_code_uri, match }) {
  const picture = one("#picture");
  one("#number output").textContent = match;
  one("#typed strong").textContent = user_code;
  picture.alt = `${word.picture} ${user_code}`;
  if (picture.src !== mini_program_code_uri) load(mini_program_code_uri);
}

/** The user code is shown in place of a picture that WeChat does not give. */
function load(uri) {
  const picture = one("#picture");
  const loaded = (well) => () => ([picture.hidden, one("#typed").hidden] = [!well, well]);
  [picture.onload, picture.onerror] = [loaded(true), loaded(false)];
  picture.src = uri;
}

function begin(note = "") {
  session = undefined;
  one("#note").textContent = note;
  one("#note").hidden = !note;
  one("#picture").hidden = one("#typed").hidden = one("#account").hidden = true;
  one("#picture").removeAttribute("src");
  one("#login").hidden = false;
  show({ status: "loading" });
  scan({ ...config, onState: show });
}

function loggedIn({ user_id, access_token, expires_in }) {
  const ours = (session = { token: access_token });
  one("#login").hidden = true;
  one("#account").hidden = false;
  one("#user").textContent = user_id;
  if (config.me) watch(ours);
  else setTimeout(() => session === ours && begin(word.ended), Math.min(expires_in * 1000, 2 ** 31 - 1));
}

/** A ban, or a logout anywhere, logs the user out here too. */
async function watch(ours) {
  const answer = document.hidden ? undefined : await ask(config.me).catch(() => {});
  if (session !== ours) return;
  if (answer?.status === 401) return begin(word.ended);
  setTimeout(() => session === ours && watch(ours), LOOK);
}

async function logOut() {
  // Whether or not it can be told, this page forgets its user.
  await ask(config.logout ?? `${config.url}/logout`, "POST").catch(() => {});
  begin();
}

one("#again").onclick = () => begin();
one("#redraw").onclick = () => load(one("#picture").src);
one("#logout").onclick = logOut;

const me = config.start && (await ask(config.me).catch(() => {}));
if (me?.ok) loggedIn(await me.json());
else begin();

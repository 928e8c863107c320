// Shows a code, asks what became of it, renews it before it expires, and goes on by itself. The browser's address has
// what the site asks for, and each step sends it again.
const [scan, code, match, number, status, again] = ["scan", "code", "match", "number", "status", "again"].map((id) => document.getElementById(id));
// It says what the page needs, for browsers in which this module does not run.
document.getElementById("blank").remove();
const MOST_ROUNDS = 10;
const LATEST = 15000;
// So many polls after a scan, the person may want another code: the phone's page was closed, or somebody else's has scanned.
const PATIENCE = 15;
// Until when the code is good, whether its picture is there or may still come, and what asks for it once more.
let [until, drawn, retry] = [0, true];
if (scan.dataset.color) document.documentElement.style.setProperty("--site", scan.dataset.color);
const pause = (seconds) => new Promise((done) => setTimeout(done, 1000 * seconds));
const show = (state) => {
  if (status.textContent !== status.dataset[state]) status.textContent = status.dataset[state];
  again.hidden = !["denied", "paused", "no_answer"].includes(state);
  if (!again.hidden) scan.hidden = true;
};
const waits = () => show(drawn ? "wait" : "busy");
const seen = () => document.hidden && new Promise((done) => document.addEventListener("visibilitychange", done, { once: true }));

/** The answer to a step; `null` if there is none, after a pause. What a later try cannot mend ends the page's rounds. */
async function ask(step, form = {}) {
  const request = { method: "POST", body: new URLSearchParams(form), signal: AbortSignal.timeout?.(LATEST) };
  const answer = await fetch(`${scan.dataset.root}/authorize/${step}${location.search}`, request).catch(() => null);
  const told = answer?.ok ? await answer.json().catch(() => null) : null;
  if (told) return told;
  if (answer?.status >= 400 && answer.status < 500 && answer.status !== 429) return { state: "no_answer" };
  show("busy");
  return pause(Number(answer?.headers.get("retry-after")) || 5).then(() => null);
}

/** How a code ends: "expired" or "denied". A browser that goes on never comes back here. */
async function round() {
  clearTimeout(retry);
  until = 0;
  await seen();
  const shown = await ask("scan");
  // An expired code is not left there.
  scan.hidden = !shown?.device_code;
  if (scan.hidden) return shown?.state ?? "expired";
  until = performance.now() + 1000 * (shown.expires_in - 5);
  let { interval } = shown, scanned = 0;
  code.src = `${scan.dataset.root}/device/${shown.user_code}/code.jpg`;
  number.textContent = shown.match ?? "";
  match.hidden = !shown.match;
  scan.classList.remove("scanned");
  waits();
  while (scanned || performance.now() < until) {
    await pause(interval);
    const told = await ask("poll", { device_code: shown.device_code });
    if (told?.state === "slow") interval += 5;
    else if (told?.state === "wait") waits();
    else if (told?.state === "scanned") {
      show("scanned");
      scan.classList.add("scanned");
      scanned += 1;
      again.hidden = scanned <= PATIENCE;
    } else if (told?.location) {
      show("going");
      // A 303 would lead the request there, and not the page. This page is left out of the browser's history.
      location.replace(told.location);
      await new Promise(() => {});
    } else if (told) return told.state;
  }
  return "expired";
}

code.addEventListener("load", () => (drawn = true));
code.addEventListener("error", () => {
  if (scan.hidden || performance.now() > until) return;
  drawn = false;
  show("busy");
  retry = setTimeout(() => (code.src = code.src.replace(/(\?.*)?$/, `?${Math.random()}`)), 5000);
});
again.addEventListener("click", () => location.reload());
show("loading");
// Without an `await` outside of functions, which browsers of before 2021 do not know.
const go = (left) => round().then((ended) => (ended === "expired" && left > 1 ? go(left - 1) : show(ended === "expired" ? "paused" : ended)));
go(MOST_ROUNDS);

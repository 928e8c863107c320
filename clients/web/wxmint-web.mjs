// A web page's side of RFC 8628; wxmint-web.d.mts describes it.

const LATEST = 10_000; // ms for one answer
const LEAD = 10_000; // ms; a code scanned later cannot be approved in time
const LONGEST_WAIT = 300_000; // ms; a proxy's Retry-After may be days
const TRIES = 4; // to get a code

export async function scan({ url, clientId, start, poll, headers, onState, signal, codes = 10 }) {
  if (signal?.aborted) return;
  const key = `wxmint.scan ${clientId ?? start}`;
  const now = Date.now;
  let current = {}; // the code that is shown

  // Stored only from page to page: a duplicated tab copies the storage, and two that poll would end the token.
  const stored = (value = null) => {
    try {
      const found = sessionStorage[key];
      sessionStorage[key] = JSON.stringify(value);
      return JSON.parse(found);
    } catch {} // no storage, or not ours
  };
  const tell = (state) => (onState?.(state), state);
  const show = () => tell({ status: current.scanned ? "scanned" : "waiting", code: { ...current } });

  // A hidden page's timers are late: look at the clock when it is shown.
  const reached = (time) =>
    new Promise((resolve, reject) => {
      const end = () => {
        clearTimeout(timer);
        over.abort();
        signal?.aborted ? reject() : resolve();
      };
      const look = () => now() < time || end();
      const timer = setTimeout(end, time - now());
      const over = new AbortController(); // its signal ends the listeners
      document.addEventListener("visibilitychange", look, over);
      signal?.addEventListener("abort", end, over);
    });

  // `again`: whether it is worth asking again, and `wait` how many ms later.
  const ask = async (path, fields) => {
    const over = new AbortController();
    const end = () => over.abort();
    reached(now() + LATEST).then(end, end);
    let answer, said;
    try {
      answer = await fetch(path, { method: "POST", headers, body: new URLSearchParams(fields), signal: over.signal });
      said = Object(await answer.json());
    } catch {} // no answer
    if (signal?.aborted) throw 0;
    const again = !said || answer.status === 429 || answer.status > 499;
    return { ok: said && answer.ok, said: said ?? {}, again, wait: answer?.headers.get("retry-after") * 1000 || 0 };
  };
  const failed = ({ said: answer, wait }) => {
    throw { status: "failed", error: answer.error ?? "unavailable", answer, retryAfter: wait / 1000 };
  };

  const begin = async () => {
    for (let tried = 1; ; tried++) {
      const answer = await ask(start ?? `${url}/device_authorization`, start ? {} : { client_id: clientId });
      const { ok, said, again, wait } = answer;
      const { interval = 5, expires_in } = said;
      const next = now() + interval * 1000;
      const until = now() + expires_in * 1000;
      if (ok && expires_in > 0) return { ...said, interval, next, until };
      if (!again || tried === TRIES || wait > LONGEST_WAIT) failed(answer);
      await reached(now() + Math.max(1000 * 2 ** tried, wait));
    }
  };

  // The last state, or undefined if another code is wanted.
  const follow = async () => {
    const { device_code, user_code } = current;
    const grant_type = "urn:ietf:params:oauth:grant-type:device_code";
    const fields = poll ? { user_code } : { grant_type, device_code, client_id: clientId };
    for (let lost = 0; ; ) {
      const end = () => current.until - (current.scanned ? 0 : LEAD);
      await reached(Math.min(current.next, end()));
      if (now() >= end()) return;
      current.next = now() + current.interval * 1000; // also after a reload
      const answer = await ask(poll ?? `${url}/token`, fields);
      const { ok, said, again, wait } = answer;
      const { error } = said;
      if (ok) return { status: "approved", answer: said };
      if (error === "access_denied") return { status: "denied" };
      if (error === "expired_token" || error === "invalid_grant") return;
      if (error === "slow_down") current.interval += 5;
      else if (error === "authorization_pending") lost = 0;
      else if (again) lost++;
      else failed(answer);
      current.next = now() + Math.max(current.interval * 1000 * 2 ** lost, wait);
      if (said.scanned && !current.scanned) {
        current.scanned = true;
        show();
      }
    }
  };

  const over = new AbortController();
  const take = () => Object.assign(current, stored());
  addEventListener("pagehide", () => {
    stored(current);
    current.until = 0; // until taken back
    codes++;
  }, over);
  addEventListener("pageshow", take, over);
  try {
    while (codes-- > 0) {
      if (!(take().until > now())) current = await begin();
      show();
      const end = await follow();
      current.until = 0;
      if (end) return tell(end);
      while (document.hidden) await reached(now() + 1000);
    }
    return tell({ status: "expired" });
  } catch (error) {
    if (signal?.aborted) return;
    if (error.status !== "failed") throw error; // of onState
    return tell(error);
  } finally {
    over.abort();
  }
}

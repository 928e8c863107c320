// The panel of the console for scans: what became of those of the last hour, by client, as far as this process knows.

import { clock, el, learn, words } from "./words.js";

/** It grows with each scan. */
export const METRIC = "device_requests_total";

const en = {
  heading: "Scan to log in, last hour",
  outcomes: { asked: "Asked", scanned: "Scanned", approved: "Approved", fetched: "Logged in", denied: "Denied", refused: "Refused", repeated: "Code used twice" },
  counted: (at) => `Of this process alone, since ${at}; another process has counted others. Refused: wxmint opened no request, because of a limit for example.`,
};
const zh = {
  heading: "最近一小时的扫码登录",
  outcomes: { asked: "发起", scanned: "已扫码", approved: "已确认", fetched: "已登录", denied: "用户拒绝", refused: "未受理", repeated: "device_code 重复使用" },
  counted: (at) => `仅含本进程自 ${at} 以来的扫码；其他进程各自统计。未受理：wxmint 没有受理请求，例如超过限额。`,
};

learn({
  events: { device_approval: "page let in" },
  outcomes: { match_wrong: "another number was tapped", unknown_device_code: "no such code of a page, or not any more" },
}, {
  events: { device_approval: "允许网页登录" },
  outcomes: { match_wrong: "点了另一个数字", unknown_device_code: "扫码请求不存在或已失效" },
});

export function panel(ask) {
  let scans = null; // as GET /scans has them
  let [seen, lookedAt] = [0, 0];
  const [heading, clients, counted] = [el("h2", { id: "scans-heading" }), el("ul", { className: "clients" }), el("p", { className: "soft small" })];
  const section = el("section", { className: "card wide", id: "scans", "aria-labelledby": heading.id, hidden: true }, heading, clients, counted);

  /** `total`: the metric by now. `every`: ms between two looks. */
  async function look(total, every) {
    const [age, any] = [Date.now() - lookedAt, ({ clients }) => clients.some((client) => Object.keys(en.outcomes).some((name) => client[name]))];
    if (age < every || (scans && total === seen && !(any(scans) && age >= 60_000))) return;
    lookedAt = Date.now();
    const answer = await ask("GET", "/scans").catch(() => null);
    if (answer) [seen, scans] = [total, answer];
  }

  /** Nothing where no clients are configured. */
  function draw() {
    if (!scans) return;
    const [all, text] = [words(), words().inChinese ? zh : en];
    const row = (client) => el("li", { "data-client": client.client_id },
      el("div", { className: "row" }, el("h3", {}, client.name), el("code", {}, client.client_id)),
      el("dl", { className: "facts" }, Object.entries(text.outcomes).map(([name, said]) => el("div", { "data-outcome": name }, el("dt", {}, said), el("dd", {}, all.number(client[name]))))));
    heading.textContent = text.heading;
    clients.replaceChildren(...scans.clients.map(row));
    counted.textContent = text.counted(clock(scans.since * 1000));
    section.hidden = !scans.clients.length;
  }

  return { section, look, draw };
}

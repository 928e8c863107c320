// The panel of the console for scans: what became of them, by client, as far as this process knows.

import { el, learn, words } from "./words.js";

/** Its samples are what the panel shows. */
export const METRIC = "device_requests_total";

const en = {
  heading: "Scan to log in",
  outcomes: { started: "Started", viewed: "Scanned", approved: "Approved", redeemed: "Logged in", denied: "Denied", refused: "Refused", repeated: "Code used twice" },
  counted: "Counted by this process since its start, or since a client has left. If wxmint runs in several processes, each counts the scans that it answers. Refused: wxmint opened no request, because of a limit for example.",
};
const zh = {
  heading: "扫码登录",
  outcomes: { started: "发起", viewed: "已扫码", approved: "已确认", redeemed: "已登录", denied: "用户拒绝", refused: "未受理", repeated: "device_code 重复使用" },
  counted: "由本进程自启动起统计，移除客户端时重新计数。如果运行多个 wxmint 进程，每个进程只统计自己响应的扫码。未受理：wxmint 没有受理请求，例如超过限额。",
};

learn(
  { number_mismatch: "another number was tapped", unknown_device_code: "no such code of a page, or not any more" },
  { number_mismatch: "点了另一个数字", unknown_device_code: "扫码请求不存在或已失效" },
);

export function panel() {
  const [heading, list, counted] = [el("h2", { id: "scans-heading" }), el("ul", { className: "clients" }), el("p", { className: "soft small" })];
  const section = el("section", { className: "card wide", id: "scans", "aria-labelledby": heading.id, hidden: true }, heading, list, counted);

  /** Nothing before the first scan. */
  function draw(samples) {
    const [all, text] = [words(), words().inChinese ? zh : en];
    const clients = [...new Set(samples.map(({ client }) => client))].sort();
    const count = (of, name) => samples.find(({ client, outcome }) => client === of && outcome === name)?.value ?? 0;
    const row = (client) => el("li", { "data-client": client },
      el("h3", {}, el("code", {}, client)),
      el("dl", { className: "facts" }, Object.entries(text.outcomes).map(([name, said]) => el("div", { "data-outcome": name }, el("dt", {}, said), el("dd", {}, all.number(count(client, name)))))));
    heading.textContent = text.heading;
    list.replaceChildren(...clients.map(row));
    counted.textContent = text.counted;
    section.hidden = !clients.length;
  }

  return { section, draw };
}

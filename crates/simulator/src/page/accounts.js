// The users of the business, and which WeChat is bound to each: what a login leaves behind.

import { el, onChange } from "./dom.js";
import { ACCOUNT, APPS, nameOf } from "./people.js";
import { words } from "./words.js";

const COLUMNS = ["user", "login", "phone", "bound"];

/** The table; what has come since the last drawing stands out. */
export class AccountsTable {
  constructor(box) {
    this.box = box;
    this.known = null;
    this.show = onChange(marksOf, (accounts) => this.build(accounts));
  }

  draw(accounts) {
    this.show(accounts);
  }

  build(accounts) {
    const text = words().accountsColumns;
    const heads = COLUMNS.map((name) => el("th", { scope: "col", role: "columnheader" }, text[name]));
    const rows = accounts.map((account) => this.row(account));
    // The roles say what it is where the style sheet makes blocks of the rows.
    const table = { className: "accounts", role: "table", "aria-label": words().tabs.users };
    this.box.replaceChildren(el("table", table, el("thead", {}, el("tr", { role: "row" }, heads)), el("tbody", {}, rows)));
    if (accounts.length) this.known = new Set(marksOf(accounts));
  }

  row(account) {
    const { user_id: user, username, password, phone, links } = account;
    const bound = links.length ? links.map((link) => this.link(account, link)) : [el("li", { className: "small" }, words().nobodyBound)];
    const banned = el("li", { className: "link banned", "data-testid": `banned-${user}` }, words().banned);
    const cells = {
      user: el("code", {}, user),
      login: username ? el("code", {}, `${username} / ${password}`) : "–",
      phone: phone ? el("code", {}, phone) : "–",
      bound: el("ul", { className: "links" }, bound, account.blocked ? banned : null),
    };
    const row = COLUMNS.map((name) => el("td", { role: "cell", "data-column": name }, cells[name]));
    return el("tr", { role: "row", className: this.isNews(user) ? "news" : "", "data-testid": `account-${user}` }, row);
  }

  link(account, link) {
    const app = link.appid === ACCOUNT ? "account" : Object.keys(APPS).find((name) => APPS[name] === link.appid);
    const label = words().boundTo(words().shops[app]?.name ?? words().tablet.account, nameOf(link.person));
    const names = { className: this.isNews(markOf(account, link)) ? "link news" : "link", "data-testid": `link-${app}-${account.user_id}` };
    return el("li", names, label);
  }

  isNews(mark) {
    return this.known !== null && !this.known.has(mark);
  }
}

const markOf = (account, link) => `${account.user_id} ${link.appid} ${link.openid}`;

function marksOf(accounts) {
  return accounts.flatMap((account) => [account.user_id, account.blocked && `${account.user_id} blocked`, ...account.links.map((link) => markOf(account, link))]);
}

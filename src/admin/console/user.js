// Finds a user, shows what wxmint keeps, and acts after a confirmation that names the user.

import { appName, el, moment, told, words } from "./words.js";

const byId = (id) => document.getElementById(id);
const pathOf = (user) => `/users/${encodeURIComponent(user)}`;
// A URL cannot have these as the name of something: they mean the folder itself and the one above.
const isDots = (text) => text === "." || text === "..";

const ACTS = {
  end: (user) => ["POST", `${pathOf(user)}/revoke`],
  block: (user) => ["PUT", `${pathOf(user)}/block`],
  unblock: (user) => ["DELETE", `${pathOf(user)}/block`],
  dissolve: (user, app) => ["DELETE", `${pathOf(user)}/wechat/${encodeURIComponent(app)}`],
};

export function userPanel({ ask, mayOperate }) {
  let user = null; // as GET /users/{user_id} has it
  let found = {}; // by the search: `choices` if several users are known by the text, or that it `isUnknown`
  let said = null; // { kind, parts() } of the line above the user
  let asked = 0; // the search that is shown; a slower one from before is not
  let busy = false; // whether an act is under way

  /** What is sought is a user id, an openid or a unionid. A text that nobody is known by has no card and no buttons. */
  async function find(event) {
    event.preventDefault();
    const sought = byId("sought").value.trim();
    if (!sought) return;
    await search(async () => {
      const { found: choices } = await ask("GET", `/find?q=${encodeURIComponent(sought)}`);
      if (choices.length > 1) return { choices };
      return choices.length ? { user: await read(choices[0].user_id) } : { isUnknown: true };
    });
  }

  /** Shows what `asking` brings, unless somebody seeks another user meanwhile. */
  async function search(asking) {
    const search = ++asked;
    show(null, null, {});
    try {
      const { user = null, ...others } = await asking();
      if (search === asked) show(user, null, others);
    } catch (problem) {
      if (problem.code !== "left" && search === asked) show(null, { kind: "bad", parts: () => told(problem) });
    }
  }

  async function read(id) {
    if (isDots(id)) throw { code: "dots" };
    return ask("GET", pathOf(id));
  }

  function show(nextUser, nextSaid, nextFound = found) {
    [user, said, found] = [nextUser, nextSaid, nextFound];
    draw();
  }

  function draw() {
    byId("said").hidden = !said;
    byId("said").className = `note ${said?.kind ?? ""}`;
    byId("said").replaceChildren(...(said?.parts() ?? []));
    const { choices = [], isUnknown } = found;
    byId("user").replaceChildren(
      ...(user ? drawn() : choices.map(choice)),
      ...(isUnknown ? [el("p", { className: "soft", id: "unknown" }, words().unknown)] : []));
  }

  function choice({ by, appid, user_id: id }) {
    const onclick = () => search(async () => ({ user: await read(id) }));
    return el("button", { type: "button", className: "chip", onclick }, words().knownBy[by](appName(appid)), " ", el("code", {}, id));
  }

  /** What is kept of the user, and what can be done. */
  function drawn() {
    const text = words();
    const { user_id: id, blocked, last_login: login, revoked_before: ended, wechat } = user;
    return [
      el("div", { className: "row whom-row" },
        el("h3", { className: "mono", id: "shown-user" }, id),
        el("span", { className: `pill ${blocked ? "fault" : "ok"}`, id: "blocked" }, blocked ? text.blocked : text.notBlocked)),
      facts([[text.lastLogin, moment(login)], [text.endedBefore, moment(ended)]]),
      el("h4", {}, text.bindings(wechat.length)),
      el("ul", { className: "bindings" }, wechat.map((binding) => bindingRow(id, binding))),
      el("div", { className: "row" }, actButton("end", id), actButton(blocked ? "unblock" : "block", id)),
      !mayOperate && el("p", { className: "soft small" }, text.readOnly),
    ].filter(Boolean);
  }

  const facts = (pairs) => el("dl", { className: "facts" }, pairs.map(([name, fact]) => el("div", {}, el("dt", {}, name), el("dd", {}, fact ?? words().none))));

  function bindingRow(id, { appid, openid, unionid, bound_at: at }) {
    const names = [["AppID", appName(appid)], ["openid", openid], ["unionid", unionid]].map(([name, fact]) => [name, fact && el("span", { className: "mono" }, fact)]);
    return el("li", {}, facts([...names, [words().boundAt, moment(at)]]), actButton("dissolve", id, appid));
  }

  function actButton(act, id, app) {
    const [className, label] = [`chip ${act === "unblock" ? "" : "grave"}`, words().acts[act].button];
    return el("button", { type: "button", className, disabled: !mayOperate, onclick: () => confirm(act, id, app), "data-act": act, "aria-label": `${label} ${app ? appName(app) : ""}` }, label);
  }

  /** Asks in a dialog, and acts once, whatever is pressed twice. Escape and Cancel do nothing, unless the act is under way. */
  function confirm(act, id, app) {
    const [dialog, yes, no, failed] = ["confirm", "confirm-yes", "confirm-no", "confirm-failed"].map(byId);
    if (busy) return dialog.showModal(); // as it is: the act under way, which Escape has hidden
    const text = words().acts[act];
    byId("confirm-asks").textContent = text.asks;
    byId("confirm-whom").textContent = id;
    byId("confirm-says").textContent = app ? text.says(appName(app)) : text.says;
    yes.textContent = text.button;
    yes.className = act === "unblock" ? "solid" : "solid grave";
    failed.hidden = true;
    const wait = (now) => [yes, no].forEach((button) => button.setAttribute("aria-disabled", String((busy = now))));
    wait(false);
    no.onclick = () => void (busy || dialog.close());
    // A handler that returns false would prevent what it is asked about.
    dialog.oncancel = (event) => void (busy && event.preventDefault());
    yes.onclick = async () => {
      if (busy) return;
      wait(true);
      try {
        await ask(...ACTS[act](id, app));
        await finished(act, id);
        wait(false);
        dialog.close();
        byId("said").focus();
      } catch (problem) {
        if (problem.code === "left") return;
        wait(false);
        failed.replaceChildren(...told(problem));
        failed.hidden = false;
        if (!dialog.open) dialog.showModal(); // a browser closes it at a second Escape, whatever is under way
      }
    };
    dialog.showModal();
  }

  /** Says that the act is done, and shows the user anew, but not in place of another who was sought meanwhile. */
  async function finished(act, id) {
    const again = (shown) => (user && user.user_id !== id ? user : shown);
    const at = Date.now() / 1000;
    const done = { kind: "good", parts: () => [words().acts[act].done, el("code", {}, id), moment(at)] };
    try {
      show(again(await read(id)), done);
    } catch (problem) {
      if (problem.code === "left") throw problem;
      show(again(null), { kind: "bad", parts: () => [...done.parts(), ...told(problem)] });
    }
  }

  byId("find").addEventListener("submit", find);
  return { draw };
}

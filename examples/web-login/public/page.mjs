// Shows who is logged in, and notices within 3 s when that ends.
const NOTES = {
  state: "登录没有完成，请重新登录。",
  unionid_missing: "请在微信的页面上点“允许”，然后重新登录。",
  snapshot_user: "请点页面下方的“使用完整服务”，然后重新登录。",
  user_blocked: "该用户不能登录。",
  rate_limited: "登录过于频繁，请稍后再试。",
};
const ASKS_EVERY = 3_000; // ms
const find = (id) => document.getElementById(id);
let wasLoggedIn = false;

function note(text) {
  find("note").textContent = text;
  find("note").hidden = !text;
}

async function show() {
  const answer = await fetch("me").catch(() => null);
  if (!answer || answer.status === 503) return;
  find("login").hidden = answer.ok;
  find("account").hidden = !answer.ok;
  if (answer.ok) find("user").textContent = (await answer.json()).user_id;
  else if (wasLoggedIn) note("登录已失效，请重新登录。");
  wasLoggedIn = answer.ok;
}

find("logout").addEventListener("click", async () => {
  const answer = await fetch("logout", { method: "POST" }).catch(() => null);
  wasLoggedIn = false;
  await show();
  if (!answer?.ok) note("退出登录没有得到确认，登录凭证可能仍然有效。");
});
const error = new URLSearchParams(location.search).get("error");
if (error) note(Object.hasOwn(NOTES, error) ? NOTES[error] : "暂时无法登录，请稍后再试。");
history.replaceState(null, "", location.pathname);
await show();
setInterval(show, ASKS_EVERY);

// Asks wxmint's admin listener. SECRET stands in the file of WXMINT_ADMIN_TOKENS_FILE with the right `wechat`.
const { ADMIN, SECRET, APPID } = process.env; // ADMIN: http://127.0.0.1:9090

// The person must log in again: have the mini program call wx.login and repeat its request.
export class LogInAgain extends Error {}

// `act` is `signature` or `encrypt-keys`, for a user in this mini program.
export async function wxmint(user, act, body) {
  const answer = await fetch(`${ADMIN}/users/${encodeURIComponent(user)}/wechat/${APPID}/${act}`, {
    method: body === undefined ? "GET" : "POST",
    headers: { authorization: `Bearer ${SECRET}`, "content-type": "application/json" },
    body: JSON.stringify(body),
    signal: AbortSignal.timeout(10_000),
  });
  const said = await answer.json();
  if (["session_key_missing", "person_not_found"].includes(said.code)) throw new LogInAgain(said.detail);
  if (!answer.ok) throw new Error(`wxmint: ${said.code}, request ${said.request_id}`);
  return said;
}

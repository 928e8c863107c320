// Receives WeChat's pushes: has wxmint end or erase who has left, and asks it who has paid or written. Node 18 or later, no
// packages.
//
//   APPID=… PUSH_TOKEN=… PUSH_AES_KEY=… ADMIN=http://127.0.0.1:9090 SECRET=… node receiver.mjs
//
// SECRET stands in the file of WXMINT_ADMIN_TOKENS_FILE with the rights `read,operate`. Put your
// proxy with TLS in front.
import { createServer } from "node:http";
import { Pushes } from "./push.mjs";

const { APPID, PUSH_TOKEN, PUSH_AES_KEY, ADMIN, SECRET, PORT = "5001" } = process.env;
const LONGEST = 64 * 1024; // bytes of a push
const PATIENCE = 4000; // ms for wxmint, because WeChat waits 5 s

const pushes = new Pushes({ token: PUSH_TOKEN, encodingAesKey: PUSH_AES_KEY, appid: APPID });
// The pushes of the last minutes that were handled. Where several processes receive, keep them in Redis: EXISTS id
// before, SET id 1 EX 600 afterwards (not NX before, or a push that failed would be ignored when WeChat sends it again).
const handled = new Map();

// What wxmint says of a person, or undefined if it knows none.
async function wxmint(method, openid, act = "") {
  const person = `${ADMIN}/wechat/${APPID}/people/${encodeURIComponent(openid)}`;
  const headers = { authorization: `Bearer ${SECRET}` };
  const answer = await fetch(person + act, { method, headers, signal: AbortSignal.timeout(PATIENCE) });
  const said = answer.status === 204 ? undefined : await answer.json();
  if (answer.ok || said.code === "person_not_found") return answer.ok ? said : undefined;
  throw new Error(`wxmint: ${said.code}, request ${said.request_id}`);
}

// What is done with each kind of push. May run twice for one push.
const ACTS = {
  __proto__: null,
  // RevokeInfo says which data you may no longer keep: delete them here, too.
  user_authorization_revoke: ({ OpenID }) => wxmint("POST", OpenID, "/revoke"),
  // Delete here what your own system knows of the person.
  user_authorization_cancellation: ({ OpenID }) => wxmint("DELETE", OpenID),
  // Virtual goods were paid for: give them to the user, once for each OutTradeNo.
  xpay_goods_deliver_notify: async ({ OpenId, OutTradeNo }) => {
    const person = await wxmint("GET", OpenId);
    if (!person) throw new Error(`order ${OutTradeNo} is of nobody that wxmint knows`);
    console.log(JSON.stringify({ order: OutTradeNo, user_id: person.user_id }));
  },
  // A message to the customer service.
  text: async ({ FromUserName }) => {
    const person = await wxmint("GET", FromUserName);
    console.log(JSON.stringify({ asks: person?.user_id ?? null }));
  },
};

async function handle(id, push) {
  const act = ACTS[push.MsgType === "event" ? push.Event : push.MsgType];
  if (act && !handled.has(id)) await act(push);
  for (const [old, at] of handled) if (Date.now() - at > 600_000) handled.delete(old);
  handled.set(id, Date.now());
}

async function read(request) {
  const parts = [];
  let length = 0;
  // Read to the end, because whoever leaves the loop closes the connection before the answer.
  for await (const part of request) if ((length += part.length) <= LONGEST) parts.push(part);
  if (length > LONGEST) throw new Error("the push is too long");
  return Buffer.concat(parts).toString();
}

async function answer(request) {
  let opened;
  try {
    const query = new URL(request.url, "http://localhost").searchParams;
    if (request.method === "GET") return [200, pushes.echo(query)];
    opened = pushes.open(query, await read(request));
  } catch (error) {
    console.warn(`refused: ${error.message}`);
    return [403, "refused"];
  }
  try {
    await handle(opened.id, opened.push);
    return [200, String(opened.push.Event).startsWith("xpay_") ? JSON.stringify({ ErrCode: 0, ErrMsg: "success" }) : "success"];
  } catch (error) {
    // WeChat sends it again, a few times within seconds. Put a push that must not be lost into a queue of your own.
    console.error(`not handled: ${opened.push.Event}: ${error.message}`);
    return [503, "again"];
  }
}

const server = createServer(async (request, response) => {
  const [status, text] = await answer(request);
  response.writeHead(status, { "content-type": "text/plain; charset=utf-8" }).end(text);
});
server.listen(Number(PORT), "127.0.0.1", () => console.log(`listening on ${PORT}`));

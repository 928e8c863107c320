// A business's service with a client that openapi-typescript has made of the admin listener's description. Prints what it has
// seen as JSON; tests/it/after_login/described.rs judges.
import createClient from "openapi-fetch";
import type { components, paths } from "./admin.js";

declare const process: { env: Record<string, string | undefined> };
const { ADMIN = "", SECRET = "", USER_ID = "", APPID = "", OPENID = "" } = process.env;
const admin = createClient<paths>({ baseUrl: ADMIN, headers: { authorization: `Bearer ${SECRET}` } });
const user = { params: { path: { user_id: USER_ID } } };
const inApp = { params: { path: { user_id: USER_ID, appid: APPID } } };
const app = { params: { path: { appid: APPID } } };
const person = { params: { path: { appid: APPID, openid: OPENID } } };

function got<T>({ data, error }: { data?: T; error?: components["schemas"]["Problem"] }): T {
  if (error) throw new Error(`${error.status} ${error.code}: ${error.detail}`);
  return data as T;
}

const shown = got(await admin.GET("/users/{user_id}", user));
const days: number | null = shown.last_login === null ? null : Math.floor(shown.last_login / 86_400);

const { signature, session_key_at } = got(
  await admin.POST("/users/{user_id}/wechat/{appid}/signature", { ...inApp, body: { data: "{}" } }),
);
const { keys } = got(await admin.GET("/users/{user_id}/wechat/{appid}/encrypt-keys", inApp));
const { access_token, expires_in } = got(await admin.GET("/wechat/{appid}/access-token", app));
const renewed = got(await admin.POST("/wechat/{appid}/access-token", { ...app, body: { invalid: "another" } }));

const known = got(await admin.GET("/wechat/{appid}/people/{openid}", person));
const { response: ended } = await admin.POST("/wechat/{appid}/people/{openid}/revoke", person);
const { response: erased } = await admin.DELETE("/wechat/{appid}/people/{openid}", person);
const { error: unknown } = await admin.GET("/wechat/{appid}/people/{openid}", person);

console.log(
  JSON.stringify({
    user: [shown.user_id, known.user_id],
    days,
    signature: signature.length,
    times: [session_key_at, keys[0]?.created_at, known.bound_at].every(Number.isSafeInteger),
    keys: keys.length > 0,
    token: access_token === renewed.access_token && expires_in > 0,
    acts: [ended.status, erased.status],
    code: unknown?.code,
  }),
);

// Never called: what must not compile.
export async function mistakes() {
  // @ts-expect-error it may be null
  shown.revoked_before.toFixed();
  // @ts-expect-error a time is a number
  shown.last_login?.length;
  // @ts-expect-error there is no such path
  await admin.GET("/users/{user_id}/nothing", user);
  // @ts-expect-error the body is missing
  await admin.POST("/users/{user_id}/wechat/{appid}/signature", inApp);
}

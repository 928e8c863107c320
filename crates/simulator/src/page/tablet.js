// A page of the shop's official account, opened in WeChat on a tablet: a code of OAuth2 takes the place of wx.login's, and the
// same `POST /login` gives the token.

import { call } from "./asking.js";
import { ACCOUNT } from "./people.js";
import { change, stay } from "./scan.js";
import { personId, state } from "./state.js";
import { now } from "./verdict.js";

export async function openPage() {
  const tablet = (state.tablet = { name: "tablet", stage: "idle", calls: {} });
  const code = await agree().catch(() => "");
  tablet.calls.login = await call("POST", "/login", { appid: ACCOUNT, code });
  const { access_token: token, expires_in: life, code: why } = tablet.calls.login.answer?.body ?? {};
  if (!token) return change(tablet, { stage: "refused", why });
  stay(Object.assign(tablet, { token, until: now() + life }));
}

/** To WeChat's page, where `person` agrees without being asked, and back with a code, which counts if our `state` comes back too. */
async function agree() {
  const own = crypto.getRandomValues(new Uint32Array(4)).join("-");
  const asked = { appid: ACCOUNT, redirect_uri: `${location.origin}/`, response_type: "code", scope: "snsapi_userinfo", state: own };
  const { url } = await fetch(`/connect/oauth2/authorize?${new URLSearchParams({ ...asked, person: personId() })}`);
  const back = new URL(url).searchParams;
  return back.get("state") === own ? back.get("code") : "";
}

// A page of the shop's official account, opened in WeChat on a tablet: a code of OAuth2 takes the place of wx.login's, and the
// same `POST /login` gives the token. WeChat asks nobody here.

import { call } from "./asking.js";
import { ACCOUNT } from "./people.js";
import { change, stay } from "./scan.js";
import { personId, state } from "./state.js";
import { now } from "./verdict.js";

export async function openPage() {
  const tablet = (state.tablet = { name: "tablet", stage: "idle", calls: {} });
  const minted = await call("POST", "/_simulator/codes", { person: personId(), appid: ACCOUNT });
  const [code] = minted.answer?.body?.codes ?? [];
  tablet.calls.login = await call("POST", "/login", { appid: ACCOUNT, code });
  const { access_token: token, expires_in: life, code: why } = tablet.calls.login.answer?.body ?? {};
  if (!token) return change(tablet, { stage: "refused", why });
  stay(Object.assign(tablet, { token, until: now() + life }));
}

// How pages use the typings. Compiled by package.test.mjs, never run.
import { scan, type State } from "wxmint-web";

const stopper = new AbortController();

const last = await scan({
  url: "https://login.example.com",
  clientId: "shop-web",
  signal: stopper.signal,
  onState(state) {
    if (state.status === "waiting" || state.status === "scanned") show(state.code.mini_program_code_uri, state.code.match);
    else if (state.status === "approved") show(state.answer.access_token);
    else if (state.status === "failed") show(state.error, String(state.retryAfter));
  },
});
if (last?.status === "approved") show(last.answer.user_id);

const own = await scan<{ user: string }>({ start: "/scan", poll: "/scan/token", codes: 3, headers: { "x-csrf": "1" } });
const ended: State<{ user: string }> | undefined = own;
if (ended?.status === "approved") show(ended.answer.user);

// @ts-expect-error: a page asks wxmint or its own back end
await scan({ url: "https://login.example.com", poll: "/scan/token" });
// @ts-expect-error: there is no such state
if (ended?.status === "pending") show();

declare function show(...what: (string | undefined)[]): void;

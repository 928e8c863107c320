// Reads what `wxmint bindings export` has written, and notes the openid of each user who came first to wxmint, in the mini
// program APPID.
import { readFileSync } from "node:fs";
import { known, save } from "./users.mjs";

const { APPID } = process.env;
if (!APPID) throw new Error("set APPID to the AppID of this back end's mini program");

for (const line of readFileSync("bindings.ndjson", "utf8").trim().split("\n")) {
  const { appid, openid, unionid, user_id } = JSON.parse(line);
  if (user_id && appid === APPID && !known(user_id).openid) save({ ...known(user_id), openid, unionid });
}

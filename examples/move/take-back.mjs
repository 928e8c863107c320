// Reads what `wxmint bindings export` has written, and notes the openid of each user who came first to wxmint.
import { readFileSync } from "node:fs";
import { known, save } from "./users.mjs";

for (const line of readFileSync("bindings.ndjson", "utf8").trim().split("\n")) {
  const { openid, unionid, user_id } = JSON.parse(line);
  if (user_id && !known(user_id).openid) save({ ...known(user_id), openid, unionid });
}

// Prints the users table as `wxmint bindings import` reads it.
import { all } from "./users.mjs";

for (const { id, openid, unionid } of all()) {
  if (openid) console.log(JSON.stringify({ openid, unionid, user_id: String(id) }));
}

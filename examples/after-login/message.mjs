// Opens what a mini program has encrypted with a key of wx.getUserCryptoManager.
import { createDecipheriv } from "node:crypto";
import { wxmint } from "./wxmint.mjs";

const MOST_USERS = 10_000; // whose keys are remembered
const known = new Map(); // by user id

// `version` as getLatestUserKey gave it with the key; `data` in base64.
export async function opened(user, { version, data }) {
  const { encrypt_key, iv } = await keyOf(user, version);
  try {
    const cipher = createDecipheriv("aes-128-cbc", Buffer.from(encrypt_key, "base64"), iv);
    return Buffer.concat([cipher.update(data, "base64"), cipher.final()]).toString();
  } catch {
    known.delete(user); // perhaps the user has another WeChat identity by now, whose keys have versions of their own
    throw new Error("the message cannot be decrypted"); // one text for every reason, because CBC has no MAC
  }
}

async function keyOf(user, version) {
  const find = () => known.get(user)?.find((key) => key.version === version);
  if (!find()) {
    if (known.size >= MOST_USERS) known.delete(known.keys().next().value);
    known.set(user, (await wxmint(user, "encrypt-keys")).keys);
  }
  const key = find();
  if (!key) throw new Error("WeChat has no key of this version any more: call getLatestUserKey");
  return key;
}

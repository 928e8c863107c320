// Whether a push comes from WeChat, and what it says. In WeChat's console, choose the data format JSON, and the mode
// "安全模式" (safe): in "明文模式" (plain) the signature does not cover the body.
import { createDecipheriv, createHash, timingSafeEqual } from "node:crypto";

const MAX_AGE = 300; // seconds by which a push may be old, and clocks may differ

// `token`, `encodingAesKey` and `appid` as they stand in WeChat's console. Without `encodingAesKey`, pushes are plain.
export class Pushes {
  constructor({ token, encodingAesKey, appid }) {
    [this.token, this.appid] = [token, appid];
    this.key = encodingAesKey ? Buffer.from(`${encodingAesKey}=`, "base64") : undefined;
    if (this.key && this.key.length !== 32) throw new Error("EncodingAESKey must have 43 characters");
  }

  // The answer to the GET by which the console checks the URL.
  echo(query, now = Date.now() / 1000) {
    this.#check(query, "signature", [], now);
    return query.get("echostr") ?? "";
  }

  // What a POST says, or an error that says why it is not believed. `id` is the same if the request is sent again.
  open(query, body, now = Date.now() / 1000) {
    let [push, name, further] = [parsed(body), "signature", []];
    const sealed = push.Encrypt;
    if (this.key && typeof sealed !== "string") throw new Error("the push is not encrypted");
    if (!this.key && sealed !== undefined) throw new Error("the push is encrypted, and there is no EncodingAESKey");
    if (this.key) [name, further] = ["msg_signature", [sealed]];
    const id = this.#check(query, name, further, now);
    if (this.key) push = parsed(this.#decrypt(Buffer.from(sealed, "base64")));
    if ((push.AppID ?? this.appid) !== this.appid) throw new Error("the push is for another AppID");
    return { id, push };
  }

  #check(query, name, further, now) {
    const [timestamp, nonce, signature] = ["timestamp", "nonce", name].map((name) => query.get(name) ?? "");
    // WeChat sorts the texts by their bytes.
    const texts = [this.token, timestamp, nonce, ...further].map((text) => Buffer.from(text)).sort(Buffer.compare);
    const wanted = createHash("sha1").update(Buffer.concat(texts)).digest();
    const shown = Buffer.from(signature, "hex");
    if (shown.length !== wanted.length || !timingSafeEqual(shown, wanted)) throw new Error(`wrong ${name}`);
    if (!(Math.abs(now - Number(timestamp)) <= MAX_AGE)) throw new Error("the push is old");
    return wanted.toString("hex");
  }

  // 16 random bytes, the length of the message in 4 bytes, the message, the AppID; padded to a multiple of 32.
  #decrypt(sealed) {
    if (sealed.length === 0 || sealed.length % 32 !== 0) throw new Error("wrong length");
    const cipher = createDecipheriv("aes-256-cbc", this.key, this.key.subarray(0, 16)).setAutoPadding(false);
    const padded = Buffer.concat([cipher.update(sealed), cipher.final()]);
    const padding = padded.at(-1);
    const text = padded.subarray(0, padded.length - padding);
    const isWhole = padding >= 1 && padding <= 32 && padded.subarray(text.length).every((byte) => byte === padding);
    if (!isWhole || text.length < 20) throw new Error("wrong padding");
    const end = 20 + text.readUInt32BE(16);
    if (end > text.length || text.subarray(end).toString() !== this.appid) throw new Error("the push is for another AppID");
    return text.subarray(20, end).toString();
  }
}

function parsed(text) {
  const said = JSON.parse(text);
  if (typeof said !== "object" || said === null || Array.isArray(said)) throw new Error("the push is no object");
  return said;
}

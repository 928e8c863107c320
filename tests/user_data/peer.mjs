// WeChat's user data by Node's crypto. `peer.mjs make SEED COUNT` prints cases, a JSON a line; `peer.mjs open` reads such
// lines and prints what opens, or null.
import { createCipheriv, createDecipheriv, createHash, createHmac } from 'node:crypto'
import { createInterface } from 'node:readline'

const NOW = 1_800_000_000
const [MAX_AGE, CLOCK_SKEW] = [600, 60]
const ALPHABETS = ['abcdefghijklmnopqrstuvwxyz0123456789', '王子轩微信用户,。', 'é€ß\u2028\u00a0\u07ff\ufffd', '😀🤦🏽‍♀️𠮷\u{10ffff}', '"\\/\b\n\t\r\0\x1f\x7f{}[],:']
  .map((letters) => [...letters])

// Draws that follow from a seed.
class Draw {
  constructor(seed) {
    Object.assign(this, { seed, count: 0 })
  }
  bytes(length) {
    return createHash('sha256').update(`${this.seed} ${this.count++}`).digest().subarray(0, length)
  }
  between(least, most) {
    return least + (this.bytes(4).readUInt32BE() % (most - least + 1))
  }
  choice(list) {
    return list[this.between(0, list.length - 1)]
  }
  repeat(least, most, one) {
    return Array.from({ length: this.between(least, most) }, one)
  }
  text(shortest, longest) {
    return this.repeat(shortest, longest, () => this.choice(this.choice(ALPHABETS))).join('')
  }
  word(length) {
    return this.repeat(length, length, () => this.choice(ALPHABETS[0])).join('')
  }
  value(depth = 0) {
    const kinds = [
      () => this.text(0, 40),
      () => this.between(0, 2 ** 31) - 2 ** 30,
      () => this.choice([true, false, null, 0.5, -1.25]),
      () => this.repeat(0, 4, () => this.value(depth + 1)),
      () => Object.fromEntries(this.repeat(0, 4, () => [this.text(0, 8), this.value(depth + 1)])),
    ]
    return this.choice(kinds.slice(0, depth > 3 ? 3 : 5))()
  }
}

function seal(text, key, iv) {
  const cipher = createCipheriv('aes-128-cbc', key, iv)
  return Buffer.concat([cipher.update(text, 'utf8'), cipher.final()])
}

function sealedCase(draw) {
  const [key, iv] = [draw.bytes(16), draw.bytes(16)]
  const [appid, openid] = [`wx${draw.word(16)}`, `o${draw.word(27)}`]
  // A text first, so that a change of the iv makes no other number of one; a letter first, for an object's numbers go
  // before its names.
  const data = { [`n${draw.word(draw.between(1, 11))}`]: draw.text(12, 40) }
  draw.repeat(0, 6, () => (data[`m${draw.text(1, 12)}`] = draw.value()))
  const whole = { ...data }
  if (draw.between(0, 1)) whole.openId = openid
  if (draw.between(0, 2) === 0) whole.unionId = `o${draw.word(27)}`
  whole.watermark = { timestamp: NOW - draw.between(-CLOCK_SKEW, MAX_AGE), appid }
  const [rawData, session_key] = [JSON.stringify(data), key.toString('base64')]
  return {
    session_key,
    iv: iv.toString('base64'),
    encryptedData: seal(JSON.stringify(whole), key, iv).toString('base64'),
    appid,
    openid,
    now: NOW,
    opened: { data, unionid: whole.unionId ?? null },
    rawData,
    signature: createHash('sha1').update(rawData + session_key).digest('hex'),
    session_signature: createHmac('sha256', session_key).update('').digest('hex'),
  }
}

function opened(asked) {
  const [key, iv, sealed] = ['session_key', 'iv', 'encryptedData'].map((name) => Buffer.from(asked[name], 'base64'))
  const cipher = createDecipheriv('aes-128-cbc', key, iv)
  const plaintext = Buffer.concat([cipher.update(sealed), cipher.final()])
  const members = JSON.parse(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(plaintext), wellFormed)
  const { openId = asked.openid, unionId = null, watermark, ...data } = members
  const age = asked.now - watermark.timestamp
  if (watermark.appid !== asked.appid || !(-CLOCK_SKEW <= age && age <= MAX_AGE)) throw new Error('the watermark')
  if (openId !== asked.openid) throw new Error('another person')
  return { data, unionid: unionId }
}

// JSON.parse takes half a character for one.
function wellFormed(name, value) {
  if (![name, value].every((text) => typeof text !== 'string' || text.isWellFormed())) throw new Error('half a character')
  return value
}

function openedOrNull(line) {
  try {
    return opened(JSON.parse(line))
  } catch {
    return null
  }
}

const [mode, seed, count] = process.argv.slice(2)
if (mode === 'make') {
  const draw = new Draw(seed)
  for (let made = 0; made < Number(count); made++) console.log(JSON.stringify(sealedCase(draw)))
} else {
  for await (const line of createInterface({ input: process.stdin })) console.log(JSON.stringify(openedOrNull(line)))
}

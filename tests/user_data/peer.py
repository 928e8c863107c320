# WeChat's user data by Python's cryptography. `peer.py make SEED COUNT` prints cases, a JSON a line; `peer.py open` reads
# such lines and prints what opens, or null.
import base64
import hashlib
import hmac
import json
import random
import sys

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7

NOW = 1_800_000_000
MAX_AGE, CLOCK_SKEW = 600, 60
ALPHABETS = ["abcdefghijklmnopqrstuvwxyz0123456789", "王子轩微信用户,。", "é€ß\u2028\u00a0\u07ff\ufffd", "😀🤦🏽‍♀️𠮷\U0010ffff", "\"\\/\b\n\t\r\0\x1f\x7f{}[],:"]
IDS = ("openId", "unionId", "watermark")


def text(draw, shortest, longest):
    return "".join(draw.choice(draw.choice(ALPHABETS)) for _ in range(draw.randint(shortest, longest)))


def value(draw, depth=0):
    kinds = [
        lambda: text(draw, 0, 40),
        lambda: draw.randint(-(2**53), 2**53),
        lambda: draw.choice([True, False, None, 0.5, -1.25]),
        lambda: [value(draw, depth + 1) for _ in range(draw.randint(0, 4))],
        lambda: {text(draw, 0, 8): value(draw, depth + 1) for _ in range(draw.randint(0, 4))},
    ]
    return draw.choice(kinds[: 3 if depth > 3 else 5])()


def b64(data):
    return base64.b64encode(data).decode()


def word(draw, length):
    return "".join(draw.choice(ALPHABETS[0]) for _ in range(length))


def seal(plaintext, key, iv):
    padder, cipher = PKCS7(128).padder(), Cipher(algorithms.AES(key), modes.CBC(iv)).encryptor()
    return cipher.update(padder.update(plaintext) + padder.finalize()) + cipher.finalize()


def case(draw):
    key, iv = draw.randbytes(16), draw.randbytes(16)
    appid, openid = "wx" + word(draw, 16), "o" + word(draw, 27)
    # A text first, so that a change of the iv makes no other number of one.
    data = {word(draw, draw.randint(1, 12)): text(draw, 12, 40)}
    data |= {text(draw, 1, 12): value(draw) for _ in range(draw.randint(0, 6))}
    whole = dict(data)
    if draw.random() < 0.5:
        whole["openId"] = openid
    if draw.random() < 0.3:
        whole["unionId"] = "o" + word(draw, 27)
    whole["watermark"] = {"timestamp": NOW - draw.randint(-CLOCK_SKEW, MAX_AGE), "appid": appid}
    plain = lambda members: json.dumps(members, ensure_ascii=draw.random() < 0.3)
    raw, session_key = plain(data), b64(key)
    return {
        "session_key": session_key,
        "iv": b64(iv),
        "encryptedData": b64(seal(plain(whole).encode(), key, iv)),
        "appid": appid,
        "openid": openid,
        "now": NOW,
        "opened": {"data": data, "unionid": whole.get("unionId")},
        "rawData": raw,
        "signature": hashlib.sha1((raw + session_key).encode()).hexdigest(),
        "session_signature": hmac.new(session_key.encode(), b"", hashlib.sha256).hexdigest(),
    }


def object_once(pairs):
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member stands twice")
    return members


def no_constant(name):
    raise ValueError(f"{name} is no JSON")


def opened(asked):
    key, iv, sealed = (base64.b64decode(asked[name]) for name in ("session_key", "iv", "encryptedData"))
    cipher, unpadder = Cipher(algorithms.AES(key), modes.CBC(iv)).decryptor(), PKCS7(128).unpadder()
    padded = cipher.update(sealed) + cipher.finalize()
    plaintext = (unpadder.update(padded) + unpadder.finalize()).decode()
    members = json.loads(plaintext, object_pairs_hook=object_once, parse_constant=no_constant)
    json.dumps(members, ensure_ascii=False).encode()  # refuses half a character
    watermark = members["watermark"]
    if watermark["appid"] != asked["appid"] or not -CLOCK_SKEW <= asked["now"] - watermark["timestamp"] <= MAX_AGE:
        raise ValueError("the watermark")
    if members.get("openId", asked["openid"]) != asked["openid"]:
        raise ValueError("another person")
    data = {name: member for name, member in members.items() if name not in IDS}
    return {"data": data, "unionid": members.get("unionId")}


def opened_or_null(line):
    try:
        return opened(json.loads(line))
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


if sys.argv[1] == "make":
    draw = random.Random(int(sys.argv[2]))
    for _ in range(int(sys.argv[3])):
        print(json.dumps(case(draw)))
else:
    for line in sys.stdin:
        print(json.dumps(opened_or_null(line)))

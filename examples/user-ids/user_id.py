"""The user id of a person, as wxmint computes it: `python user_id.py id.key APPID OPENID`, or `id.key UNIONID`."""
import base64, hashlib, hmac, sys, uuid

def user_id(id_key, *names):
    key = base64.b64decode(id_key.strip(), validate=True)
    if len(key) != 32:
        raise ValueError("the id key is not 32 bytes in base64")
    label = "wxmint user id of openid" if len(names) == 2 else "wxmint user id of unionid"
    text = b"".join(len(part.encode()).to_bytes(2, "big") + part.encode() for part in (label, *names))
    first = bytearray(hmac.new(key, text, hashlib.sha256).digest()[:16])
    first[6], first[8] = first[6] & 0x0F | 0x80, first[8] & 0x3F | 0x80
    return str(uuid.UUID(bytes=bytes(first)))

if __name__ == "__main__":
    print(user_id(open(sys.argv[1]).read(), *sys.argv[2:]))

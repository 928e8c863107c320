"""Whether a push comes from WeChat, and what it says. In WeChat's console, choose the data format JSON, and the mode
"安全模式" (safe): in "明文模式" (plain) the signature does not cover the body.
"""

import hashlib
import hmac
import json
import time
from base64 import b64decode

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC

MAX_AGE = 300  # seconds by which a push may be old, and clocks may differ


class Refused(Exception):
    """The push is not believed; the text says why."""


class Pushes:
    """`token`, `encoding_aes_key` and `appid` as they stand in WeChat's console. Without a key, pushes are plain."""

    def __init__(self, token, encoding_aes_key, appid):
        self.token, self.appid = token, appid
        self.key = b64decode(encoding_aes_key + "=") if encoding_aes_key else None
        if self.key is not None and len(self.key) != 32:
            raise ValueError("EncodingAESKey must have 43 characters")

    def echo(self, query, now=None):
        """The answer to the GET by which the console checks the URL. `query` is a dict of texts."""
        self._check(query, "signature", [], now)
        return query.get("echostr", "")

    def open(self, query, body, now=None):
        """An id, which is the same if the request is sent again, and what a POST says."""
        push, name, further = _parsed(body), "signature", []
        sealed = push.get("Encrypt")
        if self.key is None and sealed is not None:
            raise Refused("the push is encrypted, and there is no EncodingAESKey")
        if self.key is not None:
            if not isinstance(sealed, str):
                raise Refused("the push is not encrypted")
            name, further = "msg_signature", [sealed]
        push_id = self._check(query, name, further, now)
        if self.key is not None:
            push = _parsed(self._decrypt(b64decode(sealed)))
        if push.get("AppID", self.appid) != self.appid:
            raise Refused("the push is for another AppID")
        return push_id, push

    def _check(self, query, name, further, now):
        timestamp, nonce, shown = (query.get(key, "") for key in ("timestamp", "nonce", name))
        # WeChat sorts the texts by their bytes.
        texts = sorted(text.encode() for text in [self.token, timestamp, nonce, *further])
        wanted = hashlib.sha1(b"".join(texts)).hexdigest()
        if not hmac.compare_digest(wanted.encode(), shown.encode()):
            raise Refused(f"wrong {name}")
        if not timestamp.isdecimal() or abs((now or time.time()) - int(timestamp)) > MAX_AGE:
            raise Refused("the push is old")
        return wanted

    def _decrypt(self, sealed):
        """16 random bytes, the length of the message in 4 bytes, the message, the AppID; padded to a multiple of 32."""
        if not sealed or len(sealed) % 32:
            raise Refused("wrong length")
        cipher = Cipher(AES(self.key), CBC(self.key[:16])).decryptor()
        padded = cipher.update(sealed) + cipher.finalize()
        padding = padded[-1]
        text = padded[:-padding]
        if not 1 <= padding <= 32 or padded[-padding:] != bytes([padding]) * padding or len(text) < 20:
            raise Refused("wrong padding")
        end = 20 + int.from_bytes(text[16:20], "big")
        if end > len(text) or text[end:] != self.appid.encode():
            raise Refused("the push is for another AppID")
        return text[20:end]


def _parsed(text):
    said = json.loads(text)
    if not isinstance(said, dict):
        raise Refused("the push is no object")
    return said

"""Opens what a mini program has encrypted with a key of wx.getUserCryptoManager."""

from base64 import b64decode

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.padding import PKCS7

from wxmint import wxmint

MOST_USERS = 10_000  # whose keys are remembered
known = {}  # by user id


def opened(user, version, data):
    """`version` as getLatestUserKey gave it with the key; `data` in base64."""
    key = key_of(user, version)
    try:
        cipher = Cipher(AES(b64decode(key["encrypt_key"])), CBC(key["iv"].encode())).decryptor()
        unpadder = PKCS7(128).unpadder()
        padded = cipher.update(b64decode(data)) + cipher.finalize()
        return (unpadder.update(padded) + unpadder.finalize()).decode()
    except ValueError as error:
        known.pop(user, None)  # perhaps the user has another WeChat identity by now, whose keys have versions of their own
        # One text for every reason, because CBC has no MAC.
        raise ValueError("the message cannot be decrypted") from error


def key_of(user, version):
    find = lambda: next((key for key in known.get(user, []) if key["version"] == version), None)
    if not find():
        if len(known) >= MOST_USERS:
            known.pop(next(iter(known)))
        known[user] = wxmint(user, "encrypt-keys")["keys"]
    if not (key := find()):
        raise ValueError("WeChat has no key of this version any more: call getLatestUserKey")
    return key

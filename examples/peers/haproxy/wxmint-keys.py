#!/usr/bin/env python3
"""Writes the issuer's keys as HAProxy reads them, and runs a command when they have changed. Once a minute, by cron:

    wxmint-keys.py JWKS_URL FOLDER systemctl reload haproxy

FOLDER gets KID.pem for each key, algorithms.map (kid to algorithm) and keys.cfg, which makes HAProxy load the PEM files.
Whatever goes wrong, the files of the last good set stay. Python 3.9 or newer, nothing else.
"""

import base64
import json
import os
import re
import signal
import subprocess
import sys
import urllib.request

DEADLINE = 20  # seconds, for all
LONGEST_SET = 65536  # bytes
P = 2**256 - 2**224 + 2**192 + 2**96 - 1
B = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B


class NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None


def fetch(url):
    with urllib.request.build_opener(NoRedirects).open(url, timeout=5) as answer:
        body = answer.read(LONGEST_SET + 1)
    if len(body) > LONGEST_SET:
        raise ValueError("the answer is too long")
    return json.loads(body)["keys"]


def octets(text):
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)


def der(tag, content):
    size = len(content)
    if size >= 0x80:
        long = size.to_bytes((size.bit_length() + 7) // 8, "big")
        return bytes([tag, 0x80 | len(long)]) + long + content
    return bytes([tag, size]) + content


def integer(value):
    number = int.from_bytes(value, "big")
    return der(0x02, number.to_bytes(number.bit_length() // 8 + 1, "big"))


def public_key(jwk):
    """SubjectPublicKeyInfo (RFC 5280, RFC 5480) of a key that HAProxy can use, else ValueError or KeyError."""
    if (jwk["alg"], jwk["kty"], jwk.get("crv")) == ("ES256", "EC", "P-256"):
        x, y = octets(jwk["x"]), octets(jwk["y"])
        a, b = int.from_bytes(x, "big"), int.from_bytes(y, "big")
        if len(x) != 32 or len(y) != 32 or (b * b - a * a * a + 3 * a - B) % P:
            raise ValueError("not a point of P-256")
        return bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d03010703420004") + x + y
    if (jwk["alg"], jwk["kty"]) == ("RS256", "RSA"):
        modulus = octets(jwk["n"])
        if len(modulus) < 256:
            raise ValueError("less than 2048 bits")
        pair = der(0x30, integer(modulus) + integer(octets(jwk["e"])))
        return der(0x30, bytes.fromhex("300d06092a864886f70d0101010500") + der(0x03, b"\0" + pair))
    raise ValueError("neither ES256 nor RS256")


def usable(jwks):
    """{kid: (algorithm, PEM)}. A bad key spoils itself only."""
    keys = {}
    for jwk in jwks:
        try:
            if not re.fullmatch(r"[A-Za-z0-9_-]{1,128}", jwk["kid"]):
                raise ValueError("its kid is no file name")
            if jwk.get("use", "sig") != "sig" or "verify" not in jwk.get("key_ops", ["verify"]):
                raise ValueError("it is not for verifying")
            text = base64.encodebytes(public_key(jwk)).decode()
            keys[jwk["kid"]] = (jwk["alg"], f"-----BEGIN PUBLIC KEY-----\n{text}-----END PUBLIC KEY-----\n")
        except (KeyError, TypeError, ValueError) as error:
            print(f"a key is left out: {error}", file=sys.stderr)
    if not keys:
        raise ValueError("no usable key")
    return keys


def replace(path, text):
    """Nobody sees half a file."""
    with open(path + ".new", "w", encoding="ascii") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(path + ".new", path)


def read(path):
    try:
        with open(path, encoding="ascii") as file:
            return file.read()
    except FileNotFoundError:
        return None


def main(url, folder, *command):
    signal.alarm(DEADLINE)
    keys = usable(fetch(url))
    loaded, state = os.path.join(folder, "loaded.json"), json.dumps(keys, sort_keys=True)
    if read(loaded) == state:
        os.utime(loaded)  # wxmint-revocations.py looks at when they were confirmed.
        return
    load = "".join(f'    http-request set-var(txn.x) str(),jwt_verify({keys[kid][0]},"keys/{kid}.pem")\n' for kid in keys)
    for kid, (_, pem) in keys.items():
        replace(os.path.join(folder, f"{kid}.pem"), pem)
    replace(os.path.join(folder, "algorithms.map"), "".join(f"{kid} {keys[kid][0]}\n" for kid in keys))
    replace(os.path.join(folder, "keys.cfg"), f"# Used by nobody: it makes HAProxy load the keys.\nbackend wxmint-keys\n{load}")
    if command:
        subprocess.run(command, check=True)
    # Only now, so that a reload which failed is tried again.
    replace(loaded, state)
    for name in os.listdir(folder):
        if name.endswith(".pem") and name[:-4] not in keys:
            os.remove(os.path.join(folder, name))


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except (OSError, KeyError, TypeError, ValueError, subprocess.CalledProcessError) as error:
        sys.exit(f"wxmint-keys: {error}")

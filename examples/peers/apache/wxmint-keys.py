#!/usr/bin/env python3
"""Writes the issuer's keys as mod_oauth2 reads them, and runs a command when they have changed. Once a minute, by cron:

    wxmint-keys.py JWKS_URL keys.conf apache2ctl graceful

mod_oauth2 could fetch them itself, but then a stranger has it fetch: every token that does not verify costs a request to
the issuer, which holds a thread for up to 15 s. Whatever goes wrong, the last good keys stay. Python 3.9 or newer, nothing
else.
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
MEMBERS = {"ES256": ("EC", ["crv", "x", "y"]), "RS256": ("RSA", ["n", "e"])}
# The verdict on a signature is remembered for that many seconds: a removed key is accepted for as long.
OPTIONS = "expiry=60&verify.exp=required&verify.iat=required&verify.iat.slack_after=60"


class NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None


def fetch(url):
    with urllib.request.build_opener(NoRedirects).open(url, timeout=5) as answer:
        body = answer.read(LONGEST_SET + 1)
    if len(body) > LONGEST_SET:
        raise ValueError("the answer is too long")
    return json.loads(body)["keys"]


def number(text):
    return int.from_bytes(base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True), "big")


def checked(jwk):
    """The key with the members that matter, else ValueError or KeyError: a bad one would keep Apache from reloading."""
    kty, names = MEMBERS[jwk["alg"]]
    key = {name: jwk[name] for name in ["kty", "alg", "kid", *names]}
    if jwk.get("use", "sig") != "sig" or "verify" not in jwk.get("key_ops", ["verify"]):
        raise ValueError("it is not for verifying")
    if key["kty"] != kty or not all(re.fullmatch(r"[A-Za-z0-9_-]{1,1024}", value) for value in key.values()):
        raise ValueError("not a key of its algorithm")
    if kty == "EC":
        x, y = number(key["x"]), number(key["y"])
        if key["crv"] != "P-256" or not (x < P and y < P) or (y * y - x * x * x + 3 * x - B) % P:
            raise ValueError("not a point of P-256")
    elif number(key["n"]).bit_length() < 2048:
        raise ValueError("less than 2048 bits")
    return key


def usable(jwks):
    """A bad key spoils itself only."""
    keys = []
    for jwk in jwks:
        try:
            keys.append(checked(jwk))
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


def main(url, path, *command):
    signal.alarm(DEADLINE)
    text = "".join(f"OAuth2TokenVerify jwk '{json.dumps(key)}' {OPTIONS}\n" for key in usable(fetch(url)))
    if read(path + ".loaded") == text:
        return
    replace(path, text)
    if command:
        subprocess.run(command, check=True)
    # Only now, so that a reload which failed is tried again.
    replace(path + ".loaded", text)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except (OSError, KeyError, TypeError, ValueError, subprocess.CalledProcessError) as error:
        sys.exit(f"wxmint-keys: {error}")

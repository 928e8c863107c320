"""Runs the test vectors of the revocation feed against the example in Python.

Usage: run.py FOLDER_OF_VECTORS FOLDER_OF_THE_EXAMPLE
"""

import asyncio
import datetime
import json
import sys
import time
from pathlib import Path

VECTORS, EXAMPLE = map(Path, sys.argv[1:3])
sys.path.insert(0, str(EXAMPLE))

import jwt  # noqa: E402
import jwt.api_jwt  # noqa: E402
import revocations  # noqa: E402

CLOCK = {"now": 0}


class Clock(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return datetime.datetime.fromtimestamp(CLOCK["now"], tz)


jwt.api_jwt.datetime = Clock
time.time = lambda: CLOCK["now"]


class Follower:
    def __init__(self, group):
        keys = {jwk["kid"]: jwt.PyJWK(jwk) for jwk in group["jwks"]["keys"]}
        self.revocations = revocations.Revocations(group["issuer"], lambda: keys, lambda: asyncio.sleep(0))

    def take(self, page):
        revocations.fetch = lambda url, longest: page.encode()
        before = (self.revocations.cursor, dict(self.revocations.held), self.revocations.complete)
        try:
            self.revocations.take(*self.revocations.page())
        except Exception:
            after = (self.revocations.cursor, dict(self.revocations.held), self.revocations.complete)
            assert after == before, "a refused page has changed something"
            return "refuse"
        return "accept"

    def judge(self, token):
        claims = jwt.decode(token, options={"verify_signature": False})
        if self.revocations.has(jwt.get_unverified_header(token), claims):
            return "refuse"
        return "accept" if self.revocations.complete is not None else "unavailable"


def groups(name):
    return json.loads((VECTORS / name).read_text())["testGroups"]


faults, count = [], 0


def expect(test, result, expected):
    global count
    count += 1
    if result != expected:
        faults.append(f"{test}: {result}, and not {expected}")


for group in groups("pages.json"):
    CLOCK["now"] = group["now"]
    for test in group["tests"]:
        expect(f"page {test['tcId']}, {test['comment']}", Follower(group).take(test["page"]), test["result"])
for group in groups("sequences.json"):
    follower = Follower(group)
    for test in group["tests"]:
        CLOCK["now"] = test["now"]
        result = follower.take(test["page"]) if "page" in test else follower.judge(test["token"])
        expect(f"step {test['tcId']}, {group['comment']}", result, test["result"])
for group in groups("hashes.json"):
    follower = revocations.Revocations(group["issuer"], dict, None)
    for test in group["tests"]:
        expect(f"hash {test['tcId']}, {test['comment']}", follower.hash("\0".join(test["parts"])), test["hash"])

print(f"{count} tests, {len(faults)} faults", *faults, sep="\n")
sys.exit(bool(faults))

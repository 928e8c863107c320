#!/usr/bin/env python3
"""Writes the test vectors of the revocation feed, docs/revocation-feed/vectors, with new keys and signatures.

Usage: tests/tools/feed_vectors.py [FOLDER]

A vector is written once and then kept, because others compare with it. Run this only to add vectors. Needs the package
cryptography, which `make setup` installs.
"""

import hashlib
import json
import sys
from base64 import urlsafe_b64encode
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

ISSUER = "https://login.example.com"
AUDIENCE = "https://api.example.com"
APP = "wx0123456789abcdef"
NOW = 1_800_000_000
DAY = 86_400
LEEWAY = 60
FOLDER = Path(__file__).parents[2] / "docs/revocation-feed/vectors"
NOTES = {
    "Typ": "A page has its own `typ`, so that neither a token nor a page passes for the other.",
    "Key": "The key is one of the JWKS, by a `kid` that is a string, and neither revoked before nor by this page.",
    "Signature": "The algorithm is the key's. The signature must be right.",
    "Time": "Clocks may differ by 60 seconds.",
    "Cursor": "A page must be the answer to what was asked, and must lead on.",
    "Shape": "All claims and all elements of known kinds have the right types.",
    "Extension": "Claims, kinds and elements that are not known are skipped.",
    "Revocation": "A revocation that a page has named counts from then on.",
    "Expiry": "A revocation is dropped 120 seconds after its UNTIL, by the time of the newest page.",
}


def b64(data):
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def written(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def number(value):
    return b64(value.to_bytes((value.bit_length() + 7) // 8, "big"))


class Key:
    def __init__(self, alg):
        self.alg = alg
        if alg == "ES256":
            self.private = ec.generate_private_key(ec.SECP256R1())
            point = self.private.public_key().public_numbers()
            public = {"crv": "P-256", "kty": "EC", "x": b64(point.x.to_bytes(32, "big")), "y": b64(point.y.to_bytes(32, "big"))}
        elif alg == "EdDSA":
            self.private = ed25519.Ed25519PrivateKey.generate()
            public = {"crv": "Ed25519", "kty": "OKP", "x": b64(self.private.public_key().public_bytes_raw())}
        else:
            self.private = rsa.generate_private_key(65537, 2048)
            numbers = self.private.public_key().public_numbers()
            public = {"e": number(numbers.e), "kty": "RSA", "n": number(numbers.n)}
        self.kid = b64(hashlib.sha256(json.dumps(public, separators=(",", ":")).encode()).digest())  # RFC 7638
        self.jwk = {**public, "kid": self.kid, "use": "sig", "alg": alg}

    def sign(self, message):
        if self.alg == "ES256":
            r, s = decode_dss_signature(self.private.sign(message, ec.ECDSA(hashes.SHA256())))
            return r.to_bytes(32, "big") + s.to_bytes(32, "big")
        if self.alg == "EdDSA":
            return self.private.sign(message)
        return self.private.sign(message, padding.PKCS1v15(), hashes.SHA256())

    def jwt(self, header, claims):
        parts = [value if isinstance(value, str) else written(value) for value in (header, claims)]
        message = ".".join(b64(part.encode()) for part in parts)
        return f"{message}.{b64(self.sign(message.encode()))}"


KEYS = {alg: Key(alg) for alg in ("ES256", "EdDSA", "RS256")}
FIRST, SECOND, THIRD = KEYS.values()
FOREIGN = Key("ES256")
JWKS = {"keys": [key.jwk for key in KEYS.values()]}


def digest(*parts):
    return b64(hashlib.sha256("\0".join([ISSUER, *parts]).encode()).digest()[:12])


def page(revoked=[], key=FIRST, header=(), without=(), **claims):
    """A page at NOW that answers a request without a cursor. `header` and the other arguments replace members."""
    said = {"iss": ISSUER, "iat": NOW, "exp": NOW + 300, "after": "", "cursor": "c1", "more": False, "revoked": revoked}
    said |= claims
    said = {name: value for name, value in said.items() if name not in without}
    names = {"alg": key.alg, "typ": "revocations+jwt", "kid": key.kid} | dict(header)
    names = {name: value for name, value in names.items() if name not in without}
    return key.jwt(names, said)


def token(key=FIRST, header=(), **claims):
    said = {"iss": ISSUER, "sub": "user-1", "aud": AUDIENCE, "client_id": APP, "iat": NOW - 10, "exp": NOW + DAY, "jti": "jti-1"}
    return key.jwt({"alg": key.alg, "typ": "at+jwt", "kid": key.kid} | dict(header), said | claims)


def of_user(user, before=NOW, until=NOW + DAY):
    return ["sub", digest(user), before, until]


def of_user_in_app(user, app=APP, before=NOW, until=NOW + DAY):
    return ["app", digest(user, app), before, until]


def of_token(jti, until=NOW + DAY):
    return ["jti", digest(jti), until]


def of_key(key, until=NOW + DAY):
    return ["kid", key.kid, until]


def tampered(text):
    head, claims, signature = text.split(".")
    first = "A" if signature[0] != "A" else "B"
    return f"{head}.{claims}.{first}{signature[1:]}"


def duplicate(member):
    """A page whose claims name a member twice."""
    claims = written({"iss": ISSUER, "iat": NOW, "exp": NOW + 300, "after": "", "cursor": "c1", "more": False, "revoked": []})
    return FIRST.jwt({"alg": FIRST.alg, "typ": "revocations+jwt", "kid": FIRST.kid}, claims[:-1] + "," + member + "}")


def unsigned():
    head, claims, _ = page(header={"alg": "none"}).split(".")
    return f"{head}.{claims}."


def by_hmac():
    """Signed with the public key as a secret, which a library that trusts `alg` accepts."""
    import hmac

    head, claims, _ = page(header={"alg": "HS256"}).split(".")
    message = f"{head}.{claims}"
    return f"{message}.{b64(hmac.digest(written(FIRST.jwk).encode(), message.encode(), 'sha256'))}"


HASH = digest("user-1")
PAGES = [
    # comment, flags, result, page
    ("an empty page", [], "accept", page()),
    ("an empty page by Ed25519", [], "accept", page(key=SECOND)),
    ("an empty page by RSA", [], "accept", page(key=THIRD)),
    ("a revocation of each kind", ["Revocation"], "accept", page([of_user("user-1"), of_user_in_app("user-2"), of_token("jti-3"), of_key(SECOND)])),
    ("an empty cursor, before the first revocation", ["Cursor"], "accept", page(cursor="")),
    ("more is true, and the cursor leads on", ["Cursor"], "accept", page(more=True)),
    ("more is true, and the page has no revocation", ["Cursor"], "accept", page(more=True, cursor="c2")),
    ("no typ", ["Typ"], "refuse", page(without=["typ"])),
    ("the typ of an access token", ["Typ"], "refuse", page(header={"typ": "at+jwt"})),
    ("the typ JWT", ["Typ"], "refuse", page(header={"typ": "JWT"})),
    ("the typ is a number", ["Typ"], "refuse", page(header={"typ": 1})),
    ("the typ of a later version that must be understood", ["Typ", "Extension"], "refuse", page(header={"typ": "revocations2+jwt"})),
    ("a member crit", ["Signature"], "refuse", page(header={"crit": ["exp"]})),
    ("crit names b64", ["Signature"], "refuse", page(header={"crit": ["b64"], "b64": True})),
    ("no kid", ["Key"], "refuse", page(without=["kid"])),
    ("the kid is a number", ["Key"], "refuse", page(header={"kid": 1})),
    ("the kid is null", ["Key"], "refuse", page(header={"kid": None})),
    ("the kid of no key", ["Key"], "refuse", page(header={"kid": "nobody"})),
    ("a key that is not in the JWKS", ["Key"], "refuse", page(key=FOREIGN)),
    ("a foreign key under the kid of the issuer's", ["Key", "Signature"], "refuse", page(key=FOREIGN, header={"kid": FIRST.kid})),
    ("another key of the JWKS than the kid names", ["Key", "Signature"], "refuse", page(key=SECOND, header={"kid": FIRST.kid})),
    ("the page revokes its own key", ["Key"], "refuse", page([of_key(FIRST)])),
    ("the page revokes another key than its own", ["Key"], "accept", page([of_key(SECOND)])),
    ("alg none, and no signature", ["Signature"], "refuse", unsigned()),
    ("HMAC with the public key", ["Signature"], "refuse", by_hmac()),
    ("another alg than the key's", ["Signature"], "refuse", page(header={"alg": "RS256"})),
    ("the signature is changed", ["Signature"], "refuse", tampered(page())),
    ("no signature", ["Signature"], "refuse", page().rsplit(".", 1)[0] + "."),
    ("two parts", ["Signature"], "refuse", page().rsplit(".", 1)[0]),
    ("four parts", ["Signature"], "refuse", page() + ".AA"),
    ("no JWT at all", ["Signature"], "refuse", "<html><title>Log in</title></html>"),
    ("an empty answer", ["Signature"], "refuse", ""),
    ("an access token of the issuer", ["Typ"], "refuse", token()),
    ("another issuer", [], "refuse", page(iss="https://other.example.com")),
    ("the issuer with a slash at the end", [], "refuse", page(iss=ISSUER + "/")),
    ("no iss", [], "refuse", page(without=["iss"])),
    ("the iss is a list", [], "refuse", page(iss=[ISSUER])),
    ("exp has passed by 61 seconds", ["Time"], "refuse", page(iat=NOW - 361, exp=NOW - 61)),
    ("exp has passed by 59 seconds", ["Time"], "accept", page(iat=NOW - 359, exp=NOW - 59)),
    ("no exp", ["Time"], "refuse", page(without=["exp"])),
    ("exp is a text", ["Time", "Shape"], "refuse", page(exp=str(NOW + 300))),
    ("iat is 61 seconds ahead", ["Time"], "refuse", page(iat=NOW + 61, exp=NOW + 361)),
    ("iat is 59 seconds ahead", ["Time"], "accept", page(iat=NOW + 59, exp=NOW + 359)),
    ("no iat", ["Time"], "refuse", page(without=["iat"])),
    ("iat is a text", ["Time", "Shape"], "refuse", page(iat=str(NOW))),
    ("the answer to another cursor", ["Cursor"], "refuse", page(after="c0")),
    ("no after", ["Cursor"], "refuse", page(without=["after"])),
    ("after is null", ["Cursor", "Shape"], "refuse", page(after=None)),
    ("no cursor", ["Cursor"], "refuse", page(without=["cursor"])),
    ("the cursor is a number", ["Cursor", "Shape"], "refuse", page(cursor=1)),
    ("no more", ["Cursor"], "refuse", page(without=["more"])),
    ("more is a text", ["Cursor", "Shape"], "refuse", page(more="false")),
    ("more is a number", ["Cursor", "Shape"], "refuse", page(more=0)),
    ("no revoked", ["Shape"], "refuse", page(without=["revoked"])),
    ("revoked is null", ["Shape"], "refuse", page(None)),
    ("a revocation is no list", ["Shape"], "refuse", page([{"sub": HASH}])),
    ("a revocation is an empty list", ["Shape"], "refuse", page([[]])),
    ("a kind is a number", ["Shape"], "refuse", page([[1, HASH, NOW, NOW + DAY]])),
    ("a user's revocation without UNTIL", ["Shape"], "refuse", page([["sub", HASH, NOW]])),
    ("a user's revocation with a text as BEFORE", ["Shape"], "refuse", page([["sub", HASH, str(NOW), NOW + DAY]])),
    ("a user's revocation with a fraction as UNTIL", ["Shape"], "refuse", page([["sub", HASH, NOW, NOW + DAY + 0.5]])),
    ("a user's revocation with a number as hash", ["Shape"], "refuse", page([["sub", 1, NOW, NOW + DAY]])),
    ("a hash of 15 characters", ["Shape"], "refuse", page([["sub", HASH[:15], NOW, NOW + DAY]])),
    ("a hash of 17 characters", ["Shape"], "refuse", page([["sub", HASH + "A", NOW, NOW + DAY]])),
    ("a hash in base64 that is not for URLs", ["Shape"], "refuse", page([["sub", "+" * 16, NOW, NOW + DAY]])),
    ("a token's revocation without UNTIL", ["Shape"], "refuse", page([["jti", HASH]])),
    ("a key's revocation without UNTIL", ["Shape"], "refuse", page([["kid", SECOND.kid]])),
    ("a key's revocation with a number as kid", ["Shape"], "refuse", page([["kid", 1, NOW + DAY]])),
    ("one wrong revocation after a good one", ["Shape"], "refuse", page([of_user("user-1"), ["sub", HASH]])),
    ("a claim that nobody knows", ["Extension"], "accept", page(later={"a": [1]})),
    ("a kind that nobody knows", ["Extension"], "accept", page([["sid", HASH, NOW + DAY], of_user("user-1")])),
    ("a kind that nobody knows, of another form", ["Extension"], "accept", page([["later", {"a": 1}]])),
    ("a further element of a known kind", ["Extension"], "accept", page([[*of_user("user-1"), "later"]])),
    ("a further member of the header", ["Extension"], "accept", page(header={"later": 1})),
]


def steps(*steps):
    return list(steps)


def take(text, result="accept", now=NOW, comment=""):
    return {"comment": comment, "now": now, "page": text, "result": result}


def judge(text, result, now=NOW, comment=""):
    return {"comment": comment, "now": now, "token": text, "result": result}


LATER = NOW + 10
SEQUENCES = [
    ("a user's tokens up to a second", ["Revocation"], steps(
        judge(token(), "unavailable", comment="before the first page"),
        take(page(cursor="")),
        judge(token(), "accept"),
        take(page([of_user("user-1", NOW - 10)])),
        judge(token(), "refuse", comment="issued in the second of BEFORE"),
        judge(token(iat=NOW - 9), "accept", comment="issued a second later"),
        judge(token(iat=NOW - 11), "refuse", comment="issued a second before"),
        judge(token(sub="user-2"), "accept", comment="of another user"),
    )),
    ("a user's tokens of one app", ["Revocation"], steps(
        take(page([of_user_in_app("user-1", APP, NOW - 10)])),
        judge(token(), "refuse"),
        judge(token(client_id="wxfedcba9876543210"), "accept", comment="of another app"),
        judge(token(iat=NOW - 9), "accept", comment="issued a second later"),
        judge(token(sub="user-2"), "accept", comment="of another user"),
    )),
    ("one token", ["Revocation"], steps(
        take(page([of_token("jti-1")])),
        judge(token(), "refuse"),
        judge(token(iat=NOW), "refuse", comment="whenever it was issued"),
        judge(token(jti="jti-2"), "accept", comment="another token of the user"),
    )),
    ("a key", ["Revocation", "Key"], steps(
        take(page([of_key(SECOND)])),
        judge(token(key=SECOND), "refuse", comment="of the revoked key"),
        judge(token(), "accept", comment="of another key"),
        take(page(key=SECOND, after="c1", cursor="c2", iat=LATER, exp=LATER + 300), "refuse", LATER, "a page of the revoked key"),
        take(page(after="c1", cursor="c2", iat=LATER, exp=LATER + 300), "accept", LATER, "a page of another key"),
    )),
    ("the later BEFORE counts, in whatever order", ["Revocation"], steps(
        take(page([of_user("user-1", NOW - 5)])),
        take(page([of_user("user-1", NOW - 20)], after="c1", cursor="c2")),
        judge(token(), "refuse"),
        judge(token(iat=NOW - 4), "accept"),
    )),
    ("two BEFORE of one user in one page", ["Revocation"], steps(
        take(page([of_user("user-1", NOW - 5), of_user("user-1", NOW - 20)])),
        judge(token(iat=NOW - 5), "refuse"),
        judge(token(iat=NOW - 4), "accept"),
    )),
    ("a refused page changes nothing", ["Shape"], steps(
        take(page(cursor="c1")),
        take(page([of_user("user-1"), ["sub", HASH]], after="c1", cursor="c2"), "refuse"),
        judge(token(), "accept"),
        take(page([of_user("user-1")], after="c1", cursor="c2"), "accept", comment="the cursor is the one from before"),
        judge(token(), "refuse"),
    )),
    ("a page that was accepted before", ["Cursor"], steps(
        take(page([of_token("jti-1")])),
        take(page(after="c1", cursor="c2")),
        take(page(after="c1", cursor="c2"), "refuse", comment="the answer to a cursor that is no longer the last"),
        judge(token(), "refuse", comment="what is known stays"),
    )),
    ("the feed begins at its oldest revocation again", ["Cursor"], steps(
        take(page([of_token("jti-1")])),
        take(page([of_token("jti-2")], after="", cursor="n1"), "accept", comment="after is empty: the cursor was not known any more"),
        judge(token(), "refuse", comment="what is known stays"),
        judge(token(jti="jti-2"), "refuse"),
    )),
    ("more without an end", ["Cursor"], steps(
        take(page(cursor="c1")),
        take(page([of_token("jti-1")], after="c1", cursor="c1", more=True), "refuse", comment="more, and the same cursor"),
        judge(token(), "accept"),
    )),
    ("an old page", ["Time"], steps(
        take(page(cursor="c1")),
        take(page(after="c1", cursor="c2", iat=NOW - 61, exp=NOW + 239), "refuse", comment="61 seconds older than the newest"),
        take(page(after="c1", cursor="c2", iat=NOW - 59, exp=NOW + 241), "accept", comment="59 seconds older"),
    )),
    ("a revocation ends by its own date", ["Expiry"], steps(
        take(page([of_token("jti-1", NOW + 100)])),
        judge(token(), "refuse"),
        take(page(after="c1", cursor="c2", iat=NOW + 219, exp=NOW + 519), "accept", NOW + 219),
        judge(token(), "refuse", NOW + 219, "119 seconds after UNTIL"),
        take(page(after="c2", cursor="c3", iat=NOW + 400, exp=NOW + 700), "accept", NOW + 400),
        judge(token(), "accept", NOW + 400, "300 seconds after UNTIL: no token that it named can be valid"),
    )),
    ("a revocation is kept by the time of pages, and not by a clock that is ahead", ["Expiry"], steps(
        take(page([of_token("jti-1", NOW + 100)])),
        judge(token(), "refuse", NOW + 50),
        take(page(after="c1", cursor="c2", iat=NOW + 50, exp=NOW + 350), "accept", NOW + 100, "the page is 50 seconds old"),
        judge(token(), "refuse", NOW + 100),
    )),
    ("the later UNTIL counts", ["Expiry"], steps(
        take(page([of_user("user-1", NOW, NOW + 100)])),
        take(page([of_user("user-1", NOW - 30, NOW + DAY)], after="c1", cursor="c2")),
        take(page(after="c2", cursor="c3", iat=NOW + 400, exp=NOW + 700), "accept", NOW + 400),
        judge(token(), "refuse", NOW + 400),
    )),
    ("a revocation that comes after its date", ["Expiry"], steps(
        take(page([of_token("jti-1", NOW - 121)])),
        judge(token(), "accept"),
    )),
    ("kinds that nobody knows revoke nothing", ["Extension"], steps(
        take(page([["sid", digest("jti-1"), NOW + DAY], ["later", digest("user-1"), NOW, NOW + DAY]])),
        judge(token(), "accept"),
    )),
    ("a hash of one kind is none of another", ["Revocation"], steps(
        take(page([["jti", digest("user-1"), NOW + DAY], ["sub", digest("jti-1"), NOW, NOW + DAY], ["app", digest("user-1"), NOW, NOW + DAY]])),
        judge(token(), "accept"),
    )),
    ("an id in other letters", ["Revocation"], steps(
        take(page([of_user("USER-1"), of_token("JTI-1")])),
        judge(token(), "accept"),
    )),
]

HASHES = [
    ("a user", "sub", ["user-1"]),
    ("a user id of one character", "sub", ["a"]),
    ("a user id that is a UUID", "sub", ["0193f5b2-9c5e-7cc0-8000-000000000000"]),
    ("a user id that is a number", "sub", ["10086"]),
    ("a user id with a colon", "sub", ["tenant:1"]),
    ("a user in an app", "app", ["user-1", APP]),
    ("a user in a client of scans", "app", ["user-1", "shop-web"]),
    ("a user in an app of another platform", "app", ["user-1", "tt0123456789abcdef"]),
    ("a token", "jti", ["jti-1"]),
    ("a token's id with the base64url alphabet", "jti", ["AZ_-09az"]),
    ("the longest user id", "sub", ["u" * 128]),
    ("a user whose id is the token's id of another test", "sub", ["jti-1"]),
]


def numbered(tests):
    return [{"tcId": at, **test} for at, test in enumerate(tests, 1)]


def main():
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    about = {"issuer": ISSUER, "audience": AUDIENCE, "jwks": JWKS}
    pages = [{"comment": comment, "flags": flags, "page": text, "result": result} for comment, flags, result, text in PAGES]
    hashed = [{"comment": comment, "flags": [], "kind": kind, "parts": parts, "hash": digest(*parts)} for comment, kind, parts in HASHES]
    at = 0
    groups = []
    for comment, flags, tests in SEQUENCES:
        for test in tests:
            at += 1
            test["tcId"] = at
        groups.append({"type": "RevocationFeedSequence", "comment": comment, "flags": flags, **about, "tests": tests})
    files = {
        "pages.json": [{"type": "RevocationFeedPage", **about, "now": NOW, "tests": numbered(pages)}],
        "sequences.json": groups,
        "hashes.json": [{"type": "RevocationFeedHash", "issuer": ISSUER, "tests": numbered(hashed)}],
    }
    for name, groups in files.items():
        count = sum(len(group["tests"]) for group in groups)
        used = {flag for group in groups for test in group["tests"] for flag in test.get("flags", group.get("flags", []))}
        head = {"schema": "vectors.schema.json", "numberOfTests": count, "notes": {flag: NOTES[flag] for flag in NOTES if flag in used}}
        (folder / name).write_text(json.dumps({**head, "testGroups": groups}, ensure_ascii=False, indent=1) + "\n")
        print(f"{name}: {count} tests")


if __name__ == "__main__":
    main()

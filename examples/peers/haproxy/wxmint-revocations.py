#!/usr/bin/env python3
"""Tells HAProxy which tokens were revoked before they expire: follows the issuer's signed revocation feed. Runs all the time:

    wxmint-revocations.py ISSUER FOLDER SOCKET

FOLDER is that of wxmint-keys.py, seen from where HAProxy starts. It gets revocations.map, which HAProxy reads when it starts. The
running HAProxy is told by SOCKET, its stats socket, and changes from one whole map to the next. Whatever goes wrong, the
revocations that are known stay. Python 3.9 or newer, openssl, nothing else.
"""

import base64
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request

EVERY = 5  # seconds between two looks
DEADLINE = 4  # seconds for one page
LONGEST_PAGE = 2 << 20  # bytes
MOST_PAGES = 1_000  # in one look
MOST_REVOCATIONS = 1_000_000  # of more, the oldest of the kind with most are dropped, but no key
FIRST_PAGE_WITHIN = 10  # seconds; HAProxy may start without a first page after that
LEEWAY = 60  # seconds by which clocks may differ


class NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None


def octets(text):
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)


def verified(token, folder):
    """The kid of the key in FOLDER that has signed a page, and its claims, else an error."""
    signed, signature = token.rsplit(".", 1)
    header, claims = (json.loads(octets(part)) for part in signed.split("."))
    with open(os.path.join(folder, "algorithms.map"), encoding="ascii") as file:
        algorithms = dict(line.split() for line in file)
    kid, signature = header["kid"], octets(signature)
    # An access token is no page. The algorithm is the key's.
    if header["typ"] != "revocations+jwt" or "crit" in header or header["alg"] != algorithms[kid]:
        raise ValueError("not a page")
    if header["alg"] == "ES256":
        if len(signature) != 64:
            raise ValueError("not a signature")
        signature = der(0x30, der(0x02, positive(signature[:32])) + der(0x02, positive(signature[32:])))
    with tempfile.NamedTemporaryFile() as file:
        file.write(signature)
        file.flush()
        verify = ["openssl", "dgst", "-sha256", "-verify", os.path.join(folder, kid + ".pem"), "-signature", file.name]
        subprocess.run(verify, input=signed.encode(), check=True, stdout=subprocess.DEVNULL, timeout=DEADLINE)
    return kid, claims


def der(tag, content):
    return bytes([tag, len(content)]) + content


def positive(value):
    value = value.lstrip(b"\0") or b"\0"
    return b"\0" + value if value[0] & 0x80 else value


def is_time(value):
    return type(value) is int and value >= 0


class Revocations:
    def __init__(self, issuer, folder, admin):
        self.issuer, self.folder, self.admin = issuer, folder, admin
        self.map = os.path.join(folder, "revocations.map")
        self.held = {}  # sub-HASH, app-HASH: BEFORE; jti-HASH: EXP; kid-KID: when it was first seen
        self.keep, self.cursor, self.newest, self.complete = 2_592_060, "", 0, 0
        self.told, self.version, self.written = None, 0, 0
        self.lacking_until = 0  # until when a revocation that was dropped may be needed
        if os.path.exists(self.map):
            with open(self.map, encoding="ascii") as file:
                entries = {name: int(value) for name, value in map(str.split, file)}
            self.held = {name: value for name, value in entries.items() if name[3:4] == "-"}
            self.newest = self.complete = entries["page"]

    def look(self):
        for _ in range(MOST_PAGES):
            if not self.take(*verified(self.fetch(), self.folder)):
                break

    def fetch(self):
        query = f"?after={urllib.parse.quote(self.cursor, safe='')}" if self.cursor else ""
        url, text, end = urllib.parse.urljoin(self.issuer, "/revocations") + query, b"", time.monotonic() + DEADLINE
        with urllib.request.build_opener(NoRedirects).open(url, timeout=DEADLINE) as answer:
            while chunk := answer.read1(65536):
                text += chunk
                if len(text) > LONGEST_PAGE or time.monotonic() > end:
                    raise ValueError("a page is too long")
        return text.decode("ascii")

    def take(self, kid, page):
        """A page counts as a whole or not at all. Returns whether there is more."""
        iat, after, cursor, more, now = page["iat"], page["after"], page["cursor"], page["more"], time.time()
        if page["iss"] != self.issuer or not all(map(is_time, (iat, page["exp"], page["keep"]))):
            raise ValueError("a malformed page, or another issuer's")
        # Each replica of wxmint keeps a page for a second, and after a failover its clock may be a little behind.
        if iat > now + LEEWAY or page["exp"] <= now - LEEWAY or iat < self.newest - LEEWAY:
            raise ValueError("a page of another time, or a much older one than the newest")
        if after not in ("", self.cursor) or not isinstance(cursor, str) or not isinstance(more, bool):
            raise ValueError("a page that was not asked for")
        if not isinstance(page["ended"], list) or not all(isinstance(end, list) for end in page["ended"]):
            raise ValueError("a malformed end")
        learnt = [self.entry(*end) for end in page["ended"]]
        if f"kid-{kid}" in self.held or any(end[:2] == ["kid", kid] for end in page["ended"]):
            raise ValueError("the page's key is ended")
        for name, value in filter(None, learnt):
            known = self.held.get(name)
            self.held[name] = value if known is None else known if name.startswith("kid-") else max(value, known)
        if len(self.held) > MOST_REVOCATIONS:
            self.forget()
        moved = cursor != self.cursor
        self.newest, self.keep, self.cursor = max(iat, self.newest), page["keep"], cursor
        if not more:
            self.complete = max(iat, self.complete)
        return more and moved

    @staticmethod
    def entry(kind, value=None, at=None, *_):
        """The name and value of a revocation, which become words of a command: strictly of the right form."""
        if kind in ("sub", "app", "jti"):
            if not is_time(at) or not re.fullmatch(r"[A-Za-z0-9_-]{16}", value):
                raise ValueError("a malformed end")
            return f"{kind}-{value}", at
        if not isinstance(kind, str) or (kind == "kid" and not isinstance(value, str)):
            raise ValueError("a malformed end")
        # Another kid is none of wxmint-keys.py's, and another kind is of a newer issuer.
        return (f"kid-{value}", int(time.time())) if kind == "kid" and re.fullmatch(r"[\w-]{1,128}", value, re.A) else None

    def forget(self):
        """Drops what can concern no valid token any more, and what is too much."""
        now, lasts = time.time(), {"jti": LEEWAY}
        self.held = {end: at for end, at in self.held.items() if at + lasts.get(end[:3], self.keep) >= now}
        while len(self.held) > MOST_REVOCATIONS:
            kinds = [[end for end in self.held if end.startswith(kind)] for kind in ("sub", "app", "jti")]
            most = sorted(max(kinds, key=len), key=self.held.get)
            if not most:
                return
            for end in most[: -(-len(most) // 8)]:
                self.lacking_until = max(self.lacking_until, self.held.pop(end) + lasts.get(end[:3], self.keep))

    def tell(self):
        """Brings revocations.map and the running HAProxy up to date."""
        self.forget()
        now = time.time()
        confirmed = int(os.path.getmtime(os.path.join(self.folder, "loaded.json")))
        # HAProxy takes what lacks a revocation for too old.
        state = {"page": self.complete if now >= self.lacking_until else 0, "keys": confirmed}
        changed = self.held != self.told
        if changed:
            self.version = time.time_ns()
        if changed or now - self.written > 20:  # A HAProxy that starts reads when this was.
            with open(self.map + ".new", "w", encoding="ascii") as file:
                file.writelines(f"{name} {value}\n" for name, value in self.entries(state))
                file.flush()
                os.fsync(file.fileno())
            os.replace(self.map + ".new", self.map)
            self.told, self.written = dict(self.held), now
        # A HAProxy that read the file has its version; one that was started in between may have an older one.
        if f'value="{self.version}"' in self.command(f"get map {self.map} version"):
            self.command("; ".join(f"set map {self.map} {name} {value}" for name, value in state.items()))
            return
        new = "@" + self.command(f"prepare map {self.map}").split()[-1]
        lines = [f"{name} {value}\n" for name, value in self.entries(state)]
        for first in range(0, len(lines), 64):  # A command is at most 16 KiB long.
            self.command(f"add map {new} {self.map} <<\n{''.join(lines[first:first + 64])}")
        self.command(f"commit map {new} {self.map}")

    def entries(self, state):
        return [*self.held.items(), *state.items(), ("version", self.version)]

    def command(self, line):
        with socket.socket(socket.AF_UNIX) as admin:
            admin.settimeout(DEADLINE)
            admin.connect(self.admin)
            admin.sendall(line.encode() + b"\n")
            answer = b""
            while chunk := admin.recv(65536):
                answer += chunk
        if b"map" in answer and (b"Unknown" in answer or b"rror" in answer or b"rong" in answer):
            raise ValueError(f"HAProxy: {answer.decode().strip()}")
        return answer.decode()


def main(issuer, folder, admin):
    revocations, began, troubles = Revocations(issuer, folder, admin), time.time(), []
    while True:
        before, troubles = troubles, []
        for step in (revocations.look, revocations.tell):
            if step == revocations.tell and not revocations.complete and time.time() - began <= FIRST_PAGE_WITHIN:
                continue
            try:
                step()
            except Exception as error:  # What is known stays, whatever it was.
                troubles.append(f"{type(error).__name__}: {error}")
        if time.time() < revocations.lacking_until:
            troubles.append("too many revocations; the oldest were dropped")
        if troubles != before:
            age = time.time() - revocations.complete
            print(f"wxmint-revocations: {'; '.join(troubles) or 'all is well'}; revocations are {age:.0f} s old", file=sys.stderr, flush=True)
        time.sleep(EVERY)


if __name__ == "__main__":
    main(*sys.argv[1:])

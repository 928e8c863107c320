#!/usr/bin/env python3
"""Runs an image that umoci has unpacked as a container engine would: read-only, as the image's user, as process 1.

    image_run.py BUNDLE ENTRYPOINT...

In bubblewrap: `serve` starts, is alive, logs a person in at the simulator over TLS, and stops on SIGTERM. A certificate
that the image's bundle does not vouch for is refused.
"""

import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

CERTIFICATES = "etc/ssl/certs/ca-certificates.crt"
APPID, SECRET = "wxc0ffee0000000001", "5ec2e700c0ffee005ec2e700c0ffee00"
PATIENCE = 30  # seconds; the machine may be busy


class Sandbox:
    """A process in the image's root."""

    def __init__(self, bundle, arguments, folder, settings=(), certificates=None):
        root = bundle / "rootfs"
        user = json.loads((bundle / "config.json").read_text())["process"]["user"]
        command = ["bwrap", "--ro-bind", root, "/", "--dev", "/dev", "--proc", "/proc", "--bind", folder, "/tmp"]
        if certificates:
            command += ["--ro-bind", certificates, f"/{CERTIFICATES}"]
        command += ["--unshare-user", "--uid", str(user["uid"]), "--gid", str(user["gid"]), "--unshare-pid", "--as-pid-1"]
        command += ["--unshare-ipc", "--cap-drop", "ALL", "--die-with-parent", "--clearenv", "--info-fd", "{fd}"]
        for name, value in dict(settings).items():
            command += ["--setenv", name, value]
        read, write = os.pipe()
        command = [write if word == "{fd}" else word for word in command] + list(arguments)
        self.lines = []
        self.process = subprocess.Popen(
            [str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, pass_fds=[write]
        )
        os.close(write)
        with os.fdopen(read) as info:
            said = info.read()
        self.id = json.loads(said)["child-pid"] if said else None
        self.reader = threading.Thread(target=lambda: self.lines.extend(iter(self.process.stdout.readline, "")), daemon=True)
        self.reader.start()

    def says(self, pattern):
        """Waits until a line matches, and returns the match."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            found = next(filter(None, (re.search(pattern, line) for line in self.lines)), None)
            if found:
                return found
            if self.process.poll() is not None and not self.reader.is_alive():
                break
            time.sleep(0.02)
        sys.exit(f"image: no line matches {pattern}:\n{''.join(self.lines)}")

    def stop(self):
        """SIGTERM, as an engine sends it; returns the exit code."""
        os.kill(self.id, signal.SIGTERM)
        code = self.process.wait(PATIENCE)
        self.reader.join()
        return code


def authority(folder):
    """A CA of our own, and a certificate of it for 127.0.0.1."""

    def run(*words):
        subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)

    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1"]
    run("req", "-x509", *key, "-subj", "/CN=test CA", "-keyout", "ca.key", "-out", "ca.crt")
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n")
    run("req", *key[:-2], "-subj", "/CN=WeChat's stand-in", "-keyout", "leaf.key", "-out", "leaf.csr")
    signed = ["-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", "1", "-extfile", "names"]
    run("x509", "-req", "-in", "leaf.csr", *signed, "-out", "leaf.crt")


def pump(source, target):
    """Hands on bytes until either side ends."""
    try:
        while data := source.recv(65536):
            target.sendall(data)
    except OSError:
        pass
    finally:
        for end in (source, target):
            end.close()


def terminate_tls(folder, port):
    """Listens with the certificate, before the simulator at `port`; returns its own port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "leaf.crt", folder / "leaf.key")
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        while True:
            connection = listener.accept()[0]
            try:
                secured = context.wrap_socket(connection, server_side=True)
            except (ssl.SSLError, OSError):
                continue  # The client does not trust us.
            behind = socket.create_connection(("127.0.0.1", port))
            for ends in ((secured, behind), (behind, secured)):
                threading.Thread(target=pump, args=ends, daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    return listener.getsockname()[1]


def ask(url, body=None):
    """Status and JSON of an answer."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            text = answer.read()
            return answer.status, json.loads(text) if text.startswith(b"{") else {}
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def log_in(bundle, entrypoint, folder, wechat, simulator, certificates=None):
    """Starts `serve`, logs a person in, stops it; returns the login's answer."""
    settings = {
        "WXMINT_ISSUER": "http://127.0.0.1:8080",
        "WXMINT_LISTEN": "127.0.0.1:0",
        "WXMINT_ADMIN_LISTEN": "127.0.0.1:0",
        "WXMINT_APPID": APPID,
        "WXMINT_APP_SECRET": SECRET,
        "WXMINT_REDIS_URL": "memory:",
        "WXMINT_KEYS": "/tmp/keys.json",
        "WXMINT_VAULT_KEY_FILE": "/tmp/vault.key",
        "WXMINT_WECHAT_URL": wechat,
    }
    serve = Sandbox(bundle, entrypoint, folder, settings, certificates)
    listening = json.loads(serve.says(r'^\{.*"message":"listening".*\}').group())
    assert ask(f"http://{listening['admin']}/livez")[0] == 200, "/livez is not 200"
    code = ask(f"{simulator}/_simulator/codes", {"person": "lin"})[1]["codes"][0]
    answer = ask(f"http://{listening['public']}/login", {"code": code})
    ended = serve.stop()
    assert ended == 0, f"SIGTERM ends serve with {ended}:\n{''.join(serve.lines)}"
    return answer


def main():
    """Each check, one after the other."""
    bundle, entrypoint = Path(sys.argv[1]), sys.argv[2:]
    program = entrypoint[0]
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for mount in ("dev", "proc", "tmp"):  # an engine makes these too, before the root becomes read-only
            (bundle / "rootfs" / mount).mkdir(exist_ok=True)
        authority(folder)
        (folder / "both.crt").write_text((bundle / "rootfs" / CERTIFICATES).read_text() + (folder / "ca.crt").read_text())
        generate = Sandbox(bundle, [program, "keys", "generate", "--keys", "/tmp/keys.json"], folder)
        assert generate.process.wait(PATIENCE) == 0, "".join(generate.lines)
        with open(os.open(folder / "vault.key", os.O_CREAT | os.O_WRONLY, 0o600), "w") as vault:
            vault.write("hIPZf4GUtqTS1wPmkqHvLWyUO0rAYEgCVdVfl9tJbWE=\n")

        simulator = Sandbox(bundle, [program, "simulator", "--listen", "127.0.0.1:0", "--app", f"{APPID}:{SECRET}"], folder)
        plain = simulator.says(r"http://127\.0\.0\.1:\d+").group()
        wechat = f"https://127.0.0.1:{terminate_tls(folder, int(plain.rpartition(':')[2]))}"
        status, token = log_in(bundle, entrypoint, folder, wechat, plain, folder / "both.crt")
        assert status == 200 and token["access_token"], f"a login is answered with {status} {token}"
        status, refusal = log_in(bundle, entrypoint, folder, wechat, plain)
        assert (status, refusal["code"]) == (503, "wechat_unavailable"), f"an unknown CA is trusted: {status} {refusal}"
        simulator.stop()


if __name__ == "__main__":
    main()

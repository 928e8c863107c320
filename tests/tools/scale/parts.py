"""The processes of the scale model: redis-server, the simulator and wxmint serve, and the least that is needed to talk to them."""

import base64
import copy
import http.client
import json
import os
import pathlib
import re
import secrets
import socket
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parents[3]
WXMINT = ROOT / "target/debug/wxmint"
APP = "wx0123456789abcdef"
SECRET = "00112233445566778899aabbccddeeff"


class Redis:
    """A redis-server of our own, and one connection to it."""

    def __init__(self, folder, environment=None):
        self.port = free_port()
        words = ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
        self.process = start(words, environment)
        self.connect()

    def connect(self):
        self.socket = until("Redis", lambda: socket.create_connection(("127.0.0.1", self.port)))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.file = self.socket.makefile("rb")

    def again(self):
        """The same server by another connection."""
        other = copy.copy(self)
        other.connect()
        return other

    def send(self, *words):
        parts = [word if isinstance(word, bytes) else str(word).encode() for word in words]
        head = b"*%d\r\n" % len(parts)
        self.socket.sendall(head + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts))

    def answer(self):
        line = self.file.readline()
        kind, rest = line[:1], line[1:-2]
        if kind == b"-":
            raise RuntimeError(rest.decode())
        if kind == b":":
            return int(rest)
        if kind == b"$":
            return None if rest == b"-1" else self.file.read(int(rest) + 2)[:-2]
        if kind == b"*":
            return [self.answer() for _ in range(int(rest))]
        return rest.decode()

    def ask(self, *words):
        self.send(*words)
        return self.answer()

    def info(self, section):
        lines = self.ask("INFO", section).decode().splitlines()
        return dict(line.split(":", 1) for line in lines if ":" in line)

    def cpu(self):
        info = self.info("cpu")
        return float(info["used_cpu_user"]) + float(info["used_cpu_sys"])

    def calls(self):
        rows = self.info("commandstats").items()
        return {name[8:]: int(row.split(",")[0].split("=")[1]) for name, row in rows}

    def keys(self):
        """Every key that has not expired."""
        cursor = b"0"
        while True:
            cursor, page = self.ask("SCAN", cursor, "COUNT", 1000)
            yield from page
            if cursor == b"0":
                return


class Client:
    """HTTP with JSON over one connection."""

    def __init__(self, address):
        self.connection = http.client.HTTPConnection(address, timeout=30)

    def ask(self, method, path, body=None, token=None):
        headers = {"authorization": f"Bearer {token}"} if token else {}
        if body is not None:
            headers["content-type"] = "application/json"
        self.connection.request(method, path, json.dumps(body) if body is not None else None, headers)
        response = self.connection.getresponse()
        text = response.read()
        if response.status == 503:
            # The machine is busy.
            raise OSError(f"{method} {path}: {text.decode()}")
        if response.status not in (200, 201, 204):
            raise RuntimeError(f"{method} {path}: {response.status} {text.decode()}")
        return json.loads(text) if text else None


class Login:
    """wxmint serve on a Redis, with a simulator in place of WeChat."""

    def __init__(self, folder, redis, environment=None):
        words = [WXMINT, "simulator", "--listen", "127.0.0.1:0", "--app", f"{APP}:{SECRET}"]
        self.simulator_process, address = started(words, {}, folder / "simulator.log", r"http://([\d.:]+)")
        self.simulator = Client(address)
        keys, vault = folder / "keys.json", folder / "vault.key"
        subprocess.run([WXMINT, "keys", "generate", "--keys", keys], check=True, capture_output=True, env={})
        vault.touch(mode=0o600)
        vault.write_text(base64.b64encode(secrets.token_bytes(32)).decode() + "\n")
        settings = {
            "WXMINT_ISSUER": "https://login.example.com", "WXMINT_APPID": APP, "WXMINT_APP_SECRET": SECRET,
            "WXMINT_REDIS_URL": f"redis://127.0.0.1:{redis.port}", "WXMINT_WECHAT_URL": f"http://{address}",
            "WXMINT_KEYS": str(keys), "WXMINT_VAULT_KEY_FILE": str(vault), "WXMINT_LISTEN": "127.0.0.1:0",
            "WXMINT_ADMIN_LISTEN": "127.0.0.1:0", "WXMINT_LIMIT_IP": "1000000/1s", "RUST_LOG": "info",
            "WXMINT_LOG_FORMAT": "json",
        } | (environment or {})
        self.process, address = started([WXMINT, "serve"], settings, folder / "serve.log", r'"public":"([\d.:]+)"')
        self.http = Client(address)

    def log_in(self, person):
        def attempt():
            code = self.simulator.ask("POST", "/_simulator/codes", {"person": person})["codes"][0]
            return self.http.ask("POST", "/login", {"code": code})["access_token"]

        return until("a login", attempt)

    def log_out(self, token):
        until("a logout", lambda: self.http.ask("POST", "/logout", token=token) or True)

    def unionids(self, given):
        self.simulator.ask("POST", "/_simulator/apps", {"appid": APP, "unionid": given})

    def end(self):
        for process in (self.process, self.simulator_process):
            stop(process)


def start(words, environment, out=subprocess.DEVNULL):
    return subprocess.Popen(words, env={"PATH": os.environ["PATH"]} | (environment or {}), stdout=out, stderr=out)


def started(words, environment, log, pattern):
    """Starts a program and waits for the address in its log."""
    with open(log, "wb") as out:
        process = start(words, environment, out)

    def address():
        if process.poll() is not None:
            raise SystemExit(f"{words[1]} ended:\n{log.read_text()}")
        return re.search(pattern, log.read_text())[1]

    return process, until(str(words[1]), address)


def stop(process):
    process.terminate()
    process.wait()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def until(what, attempt):
    deadline = time.monotonic() + 30
    while True:
        try:
            return attempt()
        except (OSError, TypeError) as error:
            if time.monotonic() > deadline:
                raise SystemExit(f"{what} does not come: {error}") from error
            time.sleep(0.02)

#!/usr/bin/env python3
"""Runs compose.yaml without an engine: the same commands with the same environment, and logs a person in.

    compose_check.py compose.yaml WXMINT

All services run in one network that nothing else is in (bubblewrap), under the names that they have in the file. A
published port stands for the port that is published, and folders of this machine for volumes. Secrets are mounted as Compose
does it: read-only, and readable by all.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

import yaml

PATIENCE = 60  # seconds; the machine may be busy
PROGRAMS = {"redis-server": "redis-server", "nginx": "/usr/sbin/nginx", "node": "node", "sh": "sh"}


def alone(services, *processes):
    """Starts this script again where loopback is all of the network, and where the services' names lead there."""
    with tempfile.TemporaryDirectory() as folder:
        hosts = Path(folder) / "hosts"
        hosts.write_text("127.0.0.1 localhost " + " ".join(services) + "\n")
        command = ["bwrap", "--dev-bind", "/", "/", "--ro-bind", hosts, "/etc/hosts", "--unshare-net", *processes]
        command += ["--die-with-parent", sys.executable, *sys.argv, "--alone"]
        return subprocess.run(command, check=False).returncode


class Services:
    """The file's services as processes."""

    def __init__(self, services, program, folder):
        self.services, self.program, self.folder = services, program, folder
        self.running = {}
        self.secrets = yaml.safe_load(Path("compose.yaml").read_text()).get("secrets", {})

    def translated(self, service, text):
        """Text of a service with the folders and the ports that it has here."""
        text = text.replace(" /tmp/", f" {self.folder}/")
        for volume in service.get("volumes", []):
            source, target = volume.split(":")[:2]
            text = re.sub(rf"(?<!/run){re.escape(target)}", str(self.mounted(service, source)), text)
        for published in service.get("ports", []):
            _, outer, inner = published.split(":")
            text = text.replace(f"listen {inner}", f"listen {outer}")
            assert outer == inner or f":{inner}" not in text, f"{text}: a port that is published as another one"
        return text

    def mounted(self, service, source):
        """A volume's folder, or a copy of a folder of the repository with the service's ports."""
        place = self.folder / re.sub(r"\W", "_", source)
        if source.startswith("./") and not place.exists():
            shutil.copytree(source, place)
            ports = {**service, "volumes": []}
            for file in filter(Path.is_file, place.iterdir()):
                file.write_text(self.translated(ports, file.read_text()))
        place.mkdir(exist_ok=True)
        return place

    def start(self, name):
        """Starts what the service needs, and then the service; a service that is needed to its end has ended."""
        if name in self.running:
            return
        service = self.services[name]
        for needed, how in service.get("depends_on", {}).items():
            self.start(needed)
            if how["condition"] == "service_completed_successfully":
                code = self.running[needed].wait(PATIENCE)
                assert code == 0, f"{needed} ends with {code}: {self.log(needed)}"
            if how["condition"] == "service_healthy":
                self.wait_healthy(needed)
        assert not self.is_healthy(name), f"{name} is healthy before it starts"
        words = [self.translated(service, word) for word in self.words(service)]
        settings = {key: self.translated(service, str(value)) for key, value in service.get("environment", {}).items()}
        with (self.folder / f"{name}.log").open("ab") as log:
            self.running[name] = subprocess.Popen(
                [*self.with_secrets(service), *words], cwd=self.home(name), env={"PATH": os.environ["PATH"], **settings}, stdout=log, stderr=log
            )

    def with_secrets(self, service):
        """What runs a command where the service's secrets are mounted."""
        mounts = []
        for name in service.get("secrets", []):
            secret = self.folder / f"secret-{name}"
            shutil.copy(self.secrets[name]["file"], secret)
            secret.chmod(0o444)
            place = f"/run/secrets/{name}"
            mounts.append(f"touch {place}; mount --bind {secret} {place}; mount -o remount,bind,ro {place}")
        mount = "; ".join(["mount -t tmpfs tmpfs /run", "mkdir /run/secrets", *mounts, 'exec "$@"'])
        return ["unshare", "--mount", "sh", "-euc", mount, "sh"] if mounts else []

    def is_healthy(self, name):
        """Runs the service's health check; false if it has none."""
        service = self.services[name]
        test = service.get("healthcheck", {}).get("test", ["CMD", "false"])
        words = ["sh", "-c", test] if isinstance(test, str) else test[1:]
        words = [str(self.program) if word == "/wxmint" else word for word in words]
        for _, outer, inner in (published.split(":") for published in service.get("ports", [])):
            words = [word.replace(f":{inner}", f":{outer}") for word in words]
        return subprocess.run(words, capture_output=True, timeout=PATIENCE, check=False).returncode == 0

    def wait_healthy(self, name):
        """Until the health check passes."""
        deadline = time.monotonic() + PATIENCE
        while not self.is_healthy(name):
            assert time.monotonic() < deadline, f"{name} does not become healthy: {self.log(name)}"
            time.sleep(0.1)

    def words(self, service):
        """The command, with this machine's program. A volume here belongs to whoever runs this."""
        if service["image"].startswith("wxmint:"):
            assert "entrypoint" not in service
            return [str(self.program), *service.get("command", ["serve"])]
        words = [word.replace("65532:65532", f"{os.getuid()}") for word in service.get("entrypoint", []) + service.get("command", [])]
        return [PROGRAMS[words[0]], *words[1:]]

    def home(self, name):
        """Where a process starts."""
        home = self.folder / f"home-{name}"
        home.mkdir(exist_ok=True)
        return home

    def log(self, name):
        """What a service has said last."""
        return (self.folder / f"{name}.log").read_text()[-2000:]

    def stop(self):
        """SIGTERM, the last one first."""
        for process in reversed(self.running.values()):
            process.terminate()
        for process in self.running.values():
            process.wait(PATIENCE)
        self.running.clear()


def ask(url, body=None, headers=None):
    """Status and text of an answer; 0 if there is none."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json", **(headers or {})})
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError:
        return 0, ""


def until(what, status, *question):
    """Asks until the answer has this status."""
    deadline = time.monotonic() + PATIENCE
    while (answer := ask(*question))[0] != status:
        assert time.monotonic() < deadline, f"{what}: {answer}"
        time.sleep(0.1)
    return json.loads(answer[1]) if answer[1].startswith("{") else answer[1]


def up(services, program, folder):
    """`docker compose up`, a login and a request; returns the user id."""
    running = Services(services, program, folder)
    try:
        for name in services:
            running.start(name)
        for name in (name for name, service in services.items() if "healthcheck" in service):
            running.wait_healthy(name)
        person, code_app = {"person": "lin"}, services["wxmint"]["environment"]["WXMINT_APPID"]
        code = until("the simulator gives a code", 200, "http://127.0.0.1:8090/_simulator/codes", person)["codes"][0]
        token = until("a login", 200, "http://127.0.0.1:8080/login", {"code": code})
        bearer = {"Authorization": f"Bearer {token['access_token']}", "X-User-Id": "somebody else"}
        orders = until("the service answers", 200, "http://127.0.0.1:8000/orders", None, bearer)
        assert orders["user_id"] == token["user_id"], orders
        status, _ = ask("http://127.0.0.1:8000/orders")
        assert status == 401, f"without a token, the service answers {status}"
        _, secret, _ = (running.mounted(services["wxmint"], "secrets") / "admin.tokens").read_text().split()
        shop = {"Authorization": f"Bearer {secret}"}
        signature = f"http://127.0.0.1:9090/users/{token['user_id']}/wechat/{code_app}/signature"
        signed = until("the admin listener signs for the shop", 200, signature, {"data": "{}"}, shop)
        assert len(signed["signature"]) == 64, signed
        status, _ = ask(f"http://127.0.0.1:9090/users/{token['user_id']}/revoke", {}, shop)
        assert status == 403, f"the shop ends tokens: {status}"
        return token["user_id"]
    except AssertionError as error:
        sys.exit(f"compose: {error}\n" + "\n".join(f"--- {name}: {running.log(name)}" for name in running.running))
    finally:
        running.stop()


def services_of(file):
    """The services, with what the file has in place of variables."""
    text = re.sub(r"\$\{\w+:-(.*?)\}", r"\1", file.read_text()).replace("$$", "$")
    return yaml.safe_load(text)["services"]


def main():
    """Up twice: the second time, secrets and bindings are those of the first."""
    services = services_of(Path(sys.argv[1]))
    if "--alone" not in sys.argv:
        sys.exit(alone(services, "--unshare-pid", "--proc", "/proc"))
    with tempfile.TemporaryDirectory() as place:
        users = [up(services, Path(sys.argv[2]).resolve(), Path(place)) for _ in range(2)]
    assert users[0] == users[1], "the binding is lost when everything stops"
    print("compose: a person logs in, and is the same user after a restart; the service behind the sidecar knows them,")
    print("compose: and a shop with a secret has data signed for them")


if __name__ == "__main__":
    main()

"""Runs nginx as the chart has it before a service, by its values: k8s_nginx.py FOLDER. Long bodies, WebSockets, and clients who are slow."""

import re
import socket
import socketserver
import subprocess
import sys
import threading
import time
from pathlib import Path

import yaml

CHART, HELM, FOLDER = "k8s/chart", Path(sys.executable).parent / "helm", Path(sys.argv[1]).resolve()
NAMES = ("http", "readiness", "service", "sidecar")
AS_IT_IS = {8080: "http", 8081: "readiness", 3000: "service", 8181: "sidecar"}
LONG, UPGRADE = 2 << 20, "Upgrade: WebSocket\r\nConnection: Upgrade\r\n"


class Answers(socketserver.StreamRequestHandler):
    """The service and the sidecar: each request is answered with 200, and a WebSocket opened."""

    def handle(self):
        while head := self.head():
            self.rfile.read(int((re.search(r"content-length: (\d+)", head) or [0, 0])[1]))
            opened = "upgrade: websocket" in head and "connection: upgrade" in head
            self.wfile.write(b"HTTP/1.1 101 So\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nframe" if opened else
                             b"HTTP/1.1 200 OK\r\nX-User-Id: u\r\nContent-Length: 0\r\n\r\n")

    def head(self):
        """The next one, empty at the end."""
        head = b""
        while (line := self.rfile.readline()) not in (b"", b"\r\n"):
            head += line
        return head.decode().lower()


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = allow_reuse_address = True
    request_queue_size = 512

    def handle_error(self, *_):
        pass


def free_port():
    """A port that nobody has."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def files(places, values):
    """nginx' files by these values, with other addresses."""
    words = [HELM, "template", "orders", CHART, "--values", f"{CHART}/ci/sidecar-values.yaml", "--set", values]
    made = subprocess.run(words, check=True, text=True, capture_output=True).stdout
    (pod,) = (each["spec"]["template"] for each in yaml.safe_load_all(made) if each["kind"] == "Deployment")
    for name in ("nginx.conf", "wxmint.conf"):
        text = pod["metadata"]["annotations"][f"wxmint/{name}"].replace("/tmp/", "./")
        for port, place in AS_IT_IS.items():
            text = re.sub(rf"(listen |127\.0\.0\.1:){port};", lambda match, at=places[place]: f"{match[1]}{'127.0.0.1:' if match[1] == 'listen ' else ''}{at};", text)
        (FOLDER / name).write_text(text)


def opened(port, text):
    """A connection on which this was sent."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=5)
    connection.sendall(text.encode())
    return connection


def asked(port, path="/orders", more="", body=""):
    """The status of the answer, 0 if there is none."""
    length = f"Content-Length: {len(body)}\r\n" if body else ""
    try:
        with opened(port, f"{'POST' if body else 'GET'} {path} HTTP/1.1\r\nHost: orders\r\n{length}{more}\r\n{body}") as connection:
            return int(connection.recv(4096).split()[1])
    except (OSError, IndexError):
        return 0


def nginx(places, values):
    """The process, once it answers."""
    files(places, values)
    process = subprocess.Popen(["nginx", "-p", FOLDER, "-e", "stderr", "-c", FOLDER / "nginx.conf", "-g", "daemon off;"], cwd=FOLDER,
                               stderr=(FOLDER / "log").open("w"))
    until = time.monotonic() + 30
    while not asked(places["readiness"], "/readyz"):
        assert process.poll() is None and time.monotonic() < until, (FOLDER / "log").read_text()
        time.sleep(0.1)
    return process


def main():
    """By default, and by other values."""
    places, faults = {name: free_port() for name in NAMES}, []
    for place in ("service", "sidecar"):
        threading.Thread(target=Server(("127.0.0.1", places[place]), Answers).serve_forever, daemon=True).start()
    for values, long, socket_ in (("peer.nginx.maxBodySize=1m", 413, 200), ("peer.nginx.maxBodySize=3m,peer.nginx.webSocket=true", 200, 101)):
        process = nginx(places, f"{values},peer.nginx.workerConnections=500,peer.nginx.clientTimeout=5")
        try:
            seen = asked(places["http"], body="x" * LONG), asked(places["http"], more=UPGRADE)
            faults += [] if seen == (long, socket_) else [f"{values}: a body of 2 MiB and a WebSocket: {seen}"]
            # More slow bodies than three eighths of 500; then slow heads, as many as together shut the kubelet out without a bound.
            slow = [opened(places["http"], "POST /orders HTTP/1.1\r\nHost: orders\r\nContent-Length: 9\r\n\r\nx") for _ in range(250)]
            until = time.monotonic() + 4
            while asked(places["http"]) != 503 and time.monotonic() < until:
                time.sleep(0.1)
            slow += [opened(places["http"], "GET /orders HTT") for _ in range(50)]
            seen = asked(places["readiness"], "/readyz"), asked(places["http"])
            faults += [] if seen == (200, 503) else [f"{values}: the kubelet and a client beside 300 slow ones: {seen}"]
            time.sleep(7)
            seen = asked(places["http"])
            faults += [] if seen == 200 else [f"{values}: a client when the slow ones have had their time: {seen}"]
            for connection in slow:
                connection.close()
        finally:
            process.terminate()
            process.wait()
    print(*[f"k8s: nginx with {fault}" for fault in faults] or ["k8s: nginx before a service obeys its values, and answers the kubelet beside slow clients"], sep="\n")
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()

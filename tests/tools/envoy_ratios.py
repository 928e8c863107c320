#!/usr/bin/env python3
"""Measures what judging one token adds to a request in Envoy: by wxmint's module, by jwt_authn, and by ext_authz with the sidecar.

    envoy_ratios.py PROGRAM MODULE_FOLDER [ROUNDS [SECONDS]]

PROGRAM is `wxmint`, and MODULE_FOLDER has libwxmint_envoy.so, both as they are released. Each way gets an Envoy of its own with
one worker, which answers by itself. 16 clients (wrk) ask with one token, each way in turn, ROUNDS times for SECONDS. It prints
medians: requests a second, the 50th and 99th percentile, and the CPU of Envoy and the sidecar for each request, of which that
of an Envoy without any judge is taken off. Wants a machine that does nothing else, redis-server and wrk.
"""

import base64
import http.client
import json
import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Of the wheel; its script would be another process.
ENVOY = next(ROOT.glob("target/tools/python/lib/python3*/site-packages/envoy/_bin/envoy"))
APP, SECRET = "wx0123456789abcdef", "00112233445566778899aabbccddeeff"
CLIENTS = 16

CONFIGURATION = """
static_resources:
  listeners:
    - name: peer
      address: {{ socket_address: {{ address: 127.0.0.1, port_value: {port} }} }}
      filter_chains:
        - filters:
            - name: envoy.filters.network.http_connection_manager
              typed_config:
                "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
                stat_prefix: peer
                http_filters:
{judge}
                  - name: envoy.filters.http.router
                    typed_config: {{ "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router }}
                route_config:
                  virtual_hosts:
                    - name: all
                      domains: ["*"]
                      routes: [{{ match: {{ prefix: / }}, direct_response: {{ status: 200 }} }}]
  clusters:
    - {{ name: issuer, type: STATIC, load_assignment: {{ cluster_name: issuer, endpoints: [{{ lb_endpoints: [{{ endpoint: {{ address: {{ socket_address: {{ address: 127.0.0.1, port_value: {issuer} }} }} }} }}] }}] }} }}
    - {{ name: sidecar, type: STATIC, load_assignment: {{ cluster_name: sidecar, endpoints: [{{ lb_endpoints: [{{ endpoint: {{ address: {{ socket_address: {{ address: 127.0.0.1, port_value: {sidecar} }} }} }} }}] }}] }} }}
"""

JWT_AUTHN = """
                  - name: envoy.filters.http.jwt_authn
                    typed_config:
                      "@type": type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication
                      providers:
                        wxmint:
                          issuer: http://127.0.0.1:{issuer}
                          audiences: [http://127.0.0.1:{issuer}]
                          from_headers: [{{ name: Authorization, value_prefix: "Bearer " }}]
                          remote_jwks:
                            http_uri: {{ uri: http://127.0.0.1:{issuer}/.well-known/jwks.json, cluster: issuer, timeout: 5s }}
                            async_fetch: {{}}
                          claim_to_headers:
                            - {{ claim_name: sub, header_name: X-User-Id }}
                            - {{ claim_name: client_id, header_name: X-Client-Id }}
                            - {{ claim_name: jti, header_name: X-Token-Id }}
{cache}
                      rules: [{{ match: {{ prefix: / }}, requires: {{ provider_name: wxmint }} }}]
"""

JUDGES = {
    "nothing": "",
    "module": """
                  - name: wxmint
                    typed_config:
                      "@type": type.googleapis.com/envoy.extensions.filters.http.dynamic_modules.v3.DynamicModuleFilter
                      dynamic_module_config: {{ name: wxmint_envoy, do_not_close: true, metrics_namespace: wxmint }}
                      filter_name: wxmint
                      filter_config:
                        "@type": type.googleapis.com/google.protobuf.Struct
                        value:
                          issuer: http://127.0.0.1:{issuer}
                          audience: http://127.0.0.1:{issuer}
                          jwks_url: http://127.0.0.1:{issuer}/.well-known/jwks.json
""",
    "jwt_authn with its cache": JWT_AUTHN.replace("{cache}", "                          jwt_cache_config: {{ jwt_cache_size: 100 }}"),
    "jwt_authn": JWT_AUTHN.replace("{cache}", ""),
    "ext_authz and sidecar": """
                  - name: envoy.filters.http.ext_authz
                    typed_config:
                      "@type": type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz
                      transport_api_version: V3
                      allowed_headers: {{ patterns: [{{ exact: authorization }}] }}
                      http_service:
                        server_uri: {{ uri: http://127.0.0.1:{sidecar}, cluster: sidecar, timeout: 2s }}
                        path_prefix: /verify
                        authorization_response:
                          allowed_upstream_headers: {{ patterns: [{{ exact: x-user-id }}, {{ exact: x-client-id }}, {{ exact: x-token-id }}] }}
""",
}


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def listens(port: int) -> None:
    late = time.monotonic() + 60
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 0.2).close()
            return
        except OSError:
            if time.monotonic() > late:
                raise
            time.sleep(0.05)


def ask(port: int, method: str, path: str, body: dict | None = None, token: str = "") -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    headers = {"content-type": "application/json"} | ({"authorization": f"Bearer {token}"} if token else {})
    connection.request(method, path, json.dumps(body) if body else None, headers)
    answer = connection.getresponse()
    return answer.status, answer.read()


def cpu(processes: list[subprocess.Popen]) -> int:
    """Nanoseconds of all threads."""
    total = 0
    for process in processes:
        for task in Path(f"/proc/{process.pid}/task").iterdir():
            total += int((task / "schedstat").read_text().split()[0])
    return total


def milliseconds(text: str) -> float:
    number, unit = re.fullmatch(r"([\d.]+)(us|ms|s)", text).groups()
    return float(number) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[unit]


def measure(port: int, token: str, seconds: int, processes: list[subprocess.Popen]) -> tuple[float, float, float, float]:
    before = cpu(processes)
    command = ["wrk", "-t1", f"-c{CLIENTS}", f"-d{seconds}s", "--latency", "-H", f"Authorization: Bearer {token}"]
    told = subprocess.run([*command, f"http://127.0.0.1:{port}/orders"], capture_output=True, text=True, check=True).stdout
    used = cpu(processes) - before
    if "Non-2xx" in told:
        raise SystemExit(f"not all answers were 200:\n{told}")
    requests = int(re.search(r"(\d+) requests in", told)[1])
    at = {percent: milliseconds(value) for percent, value in re.findall(r"(\d+)%\s+([\d.]+\w+)", told)}
    return requests / seconds, at["50"], at["99"], used / requests / 1000


def main() -> None:
    program, module = Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve()
    rounds = int(sys.argv[3]) if len(sys.argv) > 3 else 5
    seconds = int(sys.argv[4]) if len(sys.argv) > 4 else 3
    started: list[subprocess.Popen] = []
    with tempfile.TemporaryDirectory() as folder:

        def start(name: str, command: list, **variables: str) -> subprocess.Popen:
            own = {key: value for key, value in os.environ.items() if not key.startswith("WXMINT")}
            with open(f"{folder}/{name}.log", "w") as log:
                process = subprocess.Popen(command, env=own | variables, cwd=folder, stdout=log, stderr=log)
            started.append(process)
            return process

        try:
            compare(program, module, folder, start, rounds, seconds)
        finally:
            for process in started:
                process.kill()


def compare(program: Path, module: Path, folder: str, start, rounds: int, seconds: int) -> None:
    redis, wechat, issuer, admin, sidecar = (free_port() for _ in range(5))
    url = f"http://127.0.0.1:{issuer}"
    start("redis", ["redis-server", "--port", str(redis), "--save", "", "--maxmemory-policy", "noeviction"])
    start("wechat", [program, "simulator", "--listen", f"127.0.0.1:{wechat}", "--app", f"{APP}:{SECRET}"])
    subprocess.run([program, "keys", "generate", "--keys", f"{folder}/keys.json"], check=True, capture_output=True)
    vault = Path(folder, "vault")
    vault.write_bytes(base64.b64encode(os.urandom(32)) + b"\n")
    vault.chmod(0o600)
    listens(redis)
    listens(wechat)
    start(
        "wxmint",
        [program, "serve"],
        WXMINT_ISSUER=url,
        WXMINT_LISTEN=f"127.0.0.1:{issuer}",
        WXMINT_ADMIN_LISTEN=f"127.0.0.1:{admin}",
        WXMINT_APPID=APP,
        WXMINT_APP_SECRET=SECRET,
        WXMINT_REDIS_URL=f"redis://127.0.0.1:{redis}",
        WXMINT_KEYS=f"{folder}/keys.json",
        WXMINT_VAULT_KEY_FILE=str(vault),
        WXMINT_WECHAT_URL=f"http://127.0.0.1:{wechat}",
    )
    listens(issuer)
    token = None
    while token is None:
        code = json.loads(ask(wechat, "POST", "/_simulator/codes", {"person": "lin"})[1])["codes"][0]
        status, answer = ask(issuer, "POST", "/login", {"code": code})
        # 503 until it is ready.
        token = json.loads(answer)["access_token"] if status == 200 else None
    verifying = start(
        "sidecar",
        [program, "sidecar"],
        WXMINT_ISSUER=url,
        WXMINT_AUDIENCE=url,
        WXMINT_JWKS_URL=f"{url}/.well-known/jwks.json",
        WXMINT_SIDECAR_LISTEN=f"127.0.0.1:{sidecar}",
        WXMINT_ADMIN_LISTEN=f"127.0.0.1:{free_port()}",
    )
    listens(sidecar)
    ways = {}
    for name, judge in JUDGES.items():
        port = free_port()
        text = CONFIGURATION.format(port=port, issuer=issuer, sidecar=sidecar, judge=judge.format(issuer=issuer, sidecar=sidecar))
        configuration = Path(folder, f"{name.replace(' ', '-')}.yaml")
        configuration.write_text(text)
        command = [ENVOY, "--concurrency", "1", "--disable-hot-restart", "--log-level", "error", "--config-path", configuration]
        envoy = start(name, command, ENVOY_DYNAMIC_MODULES_SEARCH_PATH=str(module))
        listens(port)
        late = time.monotonic() + 60
        while ask(port, "GET", "/orders", token=token)[0] != 200 and time.monotonic() < late:
            time.sleep(0.1)
        ways[name] = port, [envoy, verifying] if "sidecar" in name else [envoy]
    taken: dict[str, list] = {name: [] for name in ways}
    for number in range(rounds):
        for name, (port, processes) in ways.items():
            taken[name].append(measure(port, token, seconds, processes))
        print(f"round {number + 1} of {rounds}", file=sys.stderr, flush=True)
    medians = {name: [statistics.median(column) for column in zip(*rows)] for name, rows in taken.items()}
    nothing = medians["nothing"][3]
    print("| judge | requests/s | p50 ms | p99 ms | CPU µs | added µs |\n|---|---|---|---|---|---|")
    for name, (rate, p50, p99, used) in medians.items():
        print(f"| {name} | {rate:.0f} | {p50:.2f} | {p99:.2f} | {used:.0f} | {used - nothing:.0f} |")
    added = {name: row[3] - nothing for name, row in medians.items()}
    print(f"\nmodule / ext_authz and sidecar: {added['module'] / added['ext_authz and sidecar']:.2f} of the CPU")
    print(f"module / jwt_authn with its cache: {added['module'] / added['jwt_authn with its cache']:.2f} of the CPU")
    print(f"module / ext_authz and sidecar: {medians['module'][0] / medians['ext_authz and sidecar'][0]:.2f} times the requests")


main()

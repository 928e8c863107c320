# Tests a back end with the simulator in place of WeChat: `pytest`. Here wxmint is the back end; start yours instead.
import json
import os
import re
import subprocess
import urllib.error
import urllib.request
from contextlib import contextmanager

import pytest


@contextmanager
def started(*words, says, **options):
    """Runs wxmint until the tests end, and gives what `says` finds in its output."""
    process = subprocess.Popen(["wxmint", *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options)
    try:
        output = ""
        while not (found := re.search(says, output)):
            line = process.stdout.readline()
            assert line, f"wxmint {words[0]} has ended: {output}"
            output += line
        yield found[1]
    finally:
        process.terminate()
        process.wait()


@pytest.fixture(scope="session")
def wechat():
    with started("simulator", "--listen", "127.0.0.1:0", says=r"listens on (\S+)") as url:
        yield url


@pytest.fixture(scope="session")
def backend(wechat, tmp_path_factory):
    folder = tmp_path_factory.mktemp("wxmint")
    subprocess.run(["wxmint", "init", "--demo"], cwd=folder, check=True)
    ports = {name: "127.0.0.1:0" for name in ("WXMINT_LISTEN", "WXMINT_ADMIN_LISTEN")}
    environment = {**os.environ, **ports, "WXMINT_WECHAT_URL": wechat}
    with started("serve", says=r'"public":"([^"]+)"', cwd=folder, env=environment) as address:
        yield f"http://{address}"


def send(method, url, body):
    headers = {"content-type": "application/json"}
    request = urllib.request.Request(url, json.dumps(body).encode(), headers, method=method)
    try:
        answer = urllib.request.urlopen(request, timeout=10)
    except urllib.error.HTTPError as error:
        answer = error
    return answer.status, json.load(answer)


def log_in(wechat, backend, person):
    """Sends the back end a code of wx.login, as the mini program does."""
    _, answer = send("POST", f"{wechat}/_simulator/codes", {"person": person})
    return send("POST", f"{backend}/login", {"code": answer["codes"][0]})


def test_a_person_is_the_same_user_at_each_login(wechat, backend):
    (status, first), (_, second) = (log_in(wechat, backend, "lin") for _ in range(2))
    assert status == 200 and first["new_user"] and not second["new_user"]
    assert first["user_id"] == second["user_id"]


def test_a_login_that_wechat_limits_is_429(wechat, backend):
    send("PUT", f"{wechat}/_simulator/faults", {"faults": [{"kind": "errcode", "errcode": 45011, "times": 1}]})
    status, problem = log_in(wechat, backend, "mei")
    assert (status, problem["code"]) == (429, "rate_limited")

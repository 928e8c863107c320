"""Logins at a steady rate while replicas come and go: which are lost, which happen twice, and whether each is counted."""

import collections
import json
import os
import signal
import statistics
import threading
import time
from contextlib import suppress
from pathlib import Path

from asked import address, call, get, kubectl, pods, ready, refused, rolled_out, run, seconds_until, service
from cluster import RUN, start, succeeds, until
from load import Load, capacity
from world import APPID, codes, issuer

WANTED = 300  # logins a second
LONGEST = 150  # seconds for all of it
SELECTOR = "app.kubernetes.io/name=wxmint,app.kubernetes.io/instance=wxmint"


class Audit:
    """Reads the audit of all pods, of those that end too: whose file is open can be read when it is deleted."""

    def __init__(self, namespace):
        self.files, self.logins, self.warnings, self.over = {}, collections.Counter(), [], threading.Event()
        self.places, self.thread = f"pods/{namespace}_wxmint-*/wxmint/*.log", threading.Thread(target=self.follow)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()

    def follow(self):
        while not self.over.wait(0.1):
            self.read()
        self.read()

    def read(self):
        """What is new, by whole lines. A log begins each with time, stream and `F`."""
        for path in set(RUN.glob(self.places)) - set(self.files):
            self.files[path] = path.open("rb")
        for file in self.files.values():
            while (line := file.readline()).endswith(b"\n"):
                event = json.loads(line.split(b" ", 3)[3])
                if event.get("metadata", {}).get("event_code") == "login" and event["status_id"] == 1:
                    self.logins[event["metadata"]["correlation_uid"]] += 1
                elif event.get("level") in ("WARN", "ERROR"):
                    self.warnings.append(f"{file.name.split('/')[-3][:30]} {line.decode()}")
            file.seek(-len(line), os.SEEK_CUR)  # A half-written line is read again.


def process_of(pod):
    """The process id of a replica."""
    uid = pod["metadata"]["uid"]
    for place in Path("/proc").glob("[0-9]*"):
        try:
            if uid in (place / "cgroup").read_text() and b"serve" in (place / "cmdline").read_bytes():
                return int(place.name)
        except OSError:
            continue
    raise AssertionError(f"no process of {uid}")


def processes_of(pod):
    """All of a pod's processes, but for the one that holds its namespaces."""
    uid, found = pod["metadata"]["uid"], []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            if uid in (place / "cgroup").read_text() and not (place / "cmdline").read_bytes().startswith(b"/pause"):
                found.append(int(place.name))
        except OSError:
            continue
    return found


def roll():
    """All replicas are replaced."""
    kubectl("rollout", "restart", "deployment/wxmint")
    rolled_out()


def kill():
    """A replica ends at once, and its container starts again."""
    victim = pods("wxmint")[0]
    os.kill(process_of(victim), signal.SIGKILL)
    until("it has started again", lambda: (now := get(f"pod/{victim['metadata']['name']}"))["status"]["containerStatuses"][0]["restartCount"] == 1
          and ready(now))


def drain():
    """The node takes no new pods, so the budget lets one replica go and holds the other until there is room again."""
    before = {pod["metadata"]["uid"] for pod in pods("wxmint")}
    refused("global timeout", "kubectl", "drain", "node", f"--pod-selector={SELECTOR}", "--ignore-daemonsets", "--timeout=12s")
    left = [pod for pod in pods("wxmint") if pod["metadata"]["uid"] in before and ready(pod)]
    assert len(left) == 1, left
    run("kubectl", "uncordon", "node")
    rolled_out()


def judged(load, audit, acts):
    """The promises, and the figures."""
    by_id = {login.request: login for login in load.answered}
    good = {login.request for login in load.answered if login.status == 200}
    cut = {login.request for login in load.answered if login.status == "cut"}
    lost = [login for login in load.answered if login.request not in good | cut]
    assert not lost, (lost[:5], "".join(audit.warnings[-20:]))
    in_time = {act: [login for login in load.answered if began <= login.at < ended] for act, began, ended in acts}
    assert all(in_time.values()), "the codes have come to an end"
    for act in ("roll", "drain"):
        assert not [login for login in in_time[act] if login.retried], f"{act}: sent to where nobody listens"
        assert not [login for login in in_time[act] if login.status == "cut"], f"{act}: cut while its replica went"
    users = collections.Counter(login.user for login in load.answered if login.user)
    assert set(users.values()) == {1}, "two people are one user"
    counted = {request: times for request, times in audit.logins.items() if request in by_id}
    assert not good - set(counted), f"not counted: {[by_id[request] for request in good - set(counted)][:5]}"
    assert set(counted) <= good | cut and set(counted.values()) == {1}, "one login was counted twice"
    times = sorted(login.took for login in load.answered)
    said = [f"{act} {ended - began:.0f} s: {len(in_time[act])}, cut {sum(login.status == 'cut' for login in in_time[act])}"
            for act, began, ended in acts]
    return f"{len(load.answered)} logins at {load.rate}/s; {'; '.join(said)}; median {statistics.median(times) * 1000:.0f} ms, " \
           f"99 % {times[int(len(times) * 0.99)] * 1000:.0f} ms"


def no_login_is_lost_while_replicas_come_and_go():
    """The rate is WANTED, or three quarters of what this machine can, because replicas that start need the rest."""
    issuer()
    host, acts = service("wxmint"), []
    can = capacity(host, APPID, codes(400))
    rate = min(WANTED, int(can * 3 / 4))
    with Audit("wxmint") as audit:
        with Load(host, APPID, rate, prepared(rate * LONGEST)) as load:
            for act in (roll, kill, drain):
                began = time.time()
                act()
                acts.append((act.__name__, began, time.time()))
        counted = {login.request for login in load.answered if login.status == 200}
        seconds_until(lambda: not counted - set(audit.logins), 20)
    return f"{judged(load, audit, acts)}; the machine can {can:.0f}/s"


def prepared(count):
    """Codes for as many, fetched before the load begins."""
    return [code for start in range(0, count, 10000) for code in codes(min(10000, count - start))]


def programs(*names):
    """The node's own programs of these names that run: process id and command line."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            words = (place / "cmdline").read_bytes().decode().split("\0")[:-1]
        except OSError:
            continue
        if words and Path(words[0]).name in names:
            found.append((int(place.name), words))
    return found


def a_node_that_restarts_brings_everybody_back():
    """Every process of every pod is killed at once, with the runtime and the kubelet, as by a loss of power. Redis comes back empty."""
    issuer()
    host, count = service("wxmint"), len(pods("wxmint"))
    kept = {name: programs(name)[0][1] for name in ("containerd", "kubelet")}
    in_pods = [int(place.parent.name) for place in Path("/proc").glob("[0-9]*/cgroup") if b"kubepods" in read(place)]
    for process in [process for process, _ in programs("kubelet", "containerd", "containerd-shim-runc-v2")] + in_pods:
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
    assert not logs_in(f"http://{host}"), "something is left"
    start("containerd", *kept["containerd"][1:])
    until("containerd answers", lambda: succeeds("ctr", "version"))
    start("kubelet", *kept["kubelet"][1:])
    took = seconds_until(lambda: logs_in(f"http://{host}"), 170)
    until("all replicas are ready", lambda: sum(map(ready, pods("wxmint"))) == count)
    assert all(logs_in(f"http://{address(pod)}:8080") for pod in pods("wxmint"))
    return f"the first login after {took:.0f} s"


def logs_in(at):
    """Whether a new person logs in there. The simulator that makes the person is in a pod, too, whose address changes with a restart."""
    status, _, made = call("POST", f"http://{service('codes', 'wechat')}:8090/_simulator/codes", {"person": f"after-{time.time_ns()}", "appid": APPID, "count": 1, "distinct_people": True})
    return status == 200 and call("POST", f"{at}/login", {"code": made["codes"][0], "appid": APPID})[0] == 200


def read(path):
    """A file's content; nothing if it is gone."""
    try:
        return path.read_bytes()
    except OSError:
        return b""

"""The chart as its user has it: the release's own test, an upgrade that fails, and the way back."""

import json
import os
import re
import signal
import time

from asked import CHART, HELM, ROOT, address, call, get, kubectl, pods, ready, refused, rolled_out, run, service
from chart import VALUES
from cluster import RUN, until
from load import Load
from rollout import prepared, processes_of
from world import APPID, install, issuer, log_in, opens, orders

TEST = {"test": {"simulator": "http://codes.wechat.svc.cluster.local:8090"}}


def helm_test_logs_a_person_in():
    """With the image that serves; the test's log has the user id."""
    issuer()
    install("wxmint", "wxmint", TEST)
    said = run(HELM, "test", "wxmint", "--namespace=wxmint", "--logs")
    assert re.search(r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$", said, re.MULTILINE), said


def an_upgrade_that_fails_stops_no_login_and_is_rolled_back():
    """To an image that is not there, with another setting. The old pods serve until the rollback, and after it."""
    helm_test_logs_a_person_in()
    rolled_out()
    before, good = {pod["metadata"]["uid"] for pod in pods("wxmint")}, re.findall(r"REVISION: (\d+)", run(HELM, "status", "wxmint", "--namespace=wxmint"))[0]
    refused("", HELM, "upgrade", "wxmint", CHART, "--namespace=wxmint", "--values", RUN / "wxmint-wxmint.json", "--set=image.tag=nowhere",
            "--set-string=settings.WXMINT_LIMIT_IP=1/1h", "--wait", "--timeout=10s")
    assert "ErrImageNeverPull" in str([pod["status"] for pod in pods("wxmint")])
    log_in(f"http://{service('wxmint')}")
    run(HELM, "rollback", "wxmint", good, "--namespace=wxmint", "--wait", "--timeout=60s")
    rolled_out()
    assert {pod["metadata"]["uid"] for pod in pods("wxmint")} == before
    assert "1/1h" not in str(get("deployment/wxmint")["spec"])
    run(HELM, "test", "wxmint", "--namespace=wxmint")


def revision(release="wxmint", namespace="wxmint"):
    """The number of what runs."""
    return re.findall(r"REVISION: (\d+)", run(HELM, "status", release, f"--namespace={namespace}"))[0]


def restarted(uids, name="wxmint", namespace="wxmint"):
    """Kills each process of these pods, and waits until all containers have started again and are ready."""
    old = lambda: [pod for pod in pods(name, namespace) if pod["metadata"]["uid"] in uids]
    count = lambda pod: [each["restartCount"] for part in ("containerStatuses", "initContainerStatuses") for each in pod["status"].get(part, [])]
    for pod in old():
        before = count(pod)
        for process in processes_of(pod):
            os.kill(process, signal.SIGKILL)
        again = lambda now, before=before: ready(now) and all(new > was for new, was in zip(count(now), before, strict=True))
        until("it has started again", lambda pod=pod: again(get(f"pod/{pod['metadata']['name']}", namespace=namespace)))
    assert len(old()) == len(uids), "an old pod is gone"


def an_upgrade_that_fails_takes_no_setting_from_the_old_pods():
    """By a setting that wxmint refuses, and then by an object that the API server refuses. Meanwhile each container of the old pods is killed, and
    logins go on, until the rollback and after it."""
    issuer()
    install("wxmint", "wxmint", {})
    rolled_out()
    uids, good, before = {pod["metadata"]["uid"] for pod in pods("wxmint")}, revision(), get("deployment/wxmint")["spec"]["template"]
    values = (HELM, "upgrade", "wxmint", CHART, "--namespace=wxmint", "--values", RUN / "wxmint-wxmint.json", "--wait", "--timeout=20s")
    unnamed = json.dumps([{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "Not_A_Name"}}])
    began, rate = time.monotonic(), 50
    with Load(service("wxmint"), APPID, rate, prepared(rate * 240)) as load:
        refused("UPGRADE FAILED", *values, "--set-string=settings.WXMINT_TOKEN_TTL=5x")
        until("the new pod has ended by the setting", lambda: '"exitCode": 64' in json.dumps([pod["status"] for pod in pods("wxmint")]))
        restarted(uids)
        refused("Not_A_Name", *values, "--set-string=settings.WXMINT_TOKEN_TTL=5y", "--set-json", f"extraObjects={unnamed}")
        restarted(uids)
        for pod in pods("wxmint"):
            if pod["metadata"]["uid"] in uids:
                log_in(f"http://{address(pod)}:8080")
        run(HELM, "rollback", "wxmint", good, "--namespace=wxmint", "--wait", "--timeout=60s")
        rolled_out()
        took = time.monotonic() - began
    assert {pod["metadata"]["uid"] for pod in pods("wxmint")} == uids
    assert get("deployment/wxmint")["spec"]["template"] == before, "the failed upgrade left something"
    lost = [login for login in load.answered if login.status not in (200, "cut")]
    assert not lost, lost[:5]
    cut = sum(login.status == "cut" for login in load.answered)
    return f"{len(load.answered)} logins in {took:.0f} s, {len(load.answered) / took:.0f} a second, {cut} cut by 4 kills"


def an_upgrade_that_fails_takes_nothing_from_a_services_pods():
    """Neither the sidecar's settings nor nginx' files, when each container is killed."""
    login, where = issuer(), orders()
    uids, good, token = {pod["metadata"]["uid"] for pod in pods("orders", "orders")}, revision("orders", "orders"), log_in(login)[0]
    refused("UPGRADE FAILED", HELM, "upgrade", "orders", CHART, "--namespace=orders", "--values", RUN / "orders.json", "--wait", "--timeout=15s",
            "--set-string=peer.nginx.maxBodySize=0,peer.nginx.image=docker.io/library/wxmint:nowhere,settings.WXMINT_REVOCATIONS_FAIL=perhaps")
    assert revision("orders", "orders") != good, "nothing was upgraded"
    restarted(uids, "orders", "orders")
    assert opens(token, where) == 200
    assert call("POST", where, "x" * (2 << 20), {"Authorization": f"Bearer {token}"})[0] == 413, "nginx has the new bound"
    run(HELM, "rollback", "orders", good, "--namespace=orders", "--wait", "--timeout=60s")
    rolled_out("orders", "orders")
    assert {pod["metadata"]["uid"] for pod in pods("orders", "orders")} == uids


def the_pods_run_as_the_user_that_the_platform_chooses():
    """As OpenShift chooses one: another user than the image's, with the group root, and a group for the files."""
    issuer()
    install("wxmint", "wxmint", {"podSecurityContext": {"runAsUser": 1000700000, "runAsGroup": 0, "fsGroup": 1000700000}})
    rolled_out()
    log_in(f"http://{service('wxmint')}")
    kubectl("create", "job", "--from=cronjob/wxmint-keys-rotate", "as-another")
    kubectl("wait", "job/as-another", "--for=condition=Complete", "--timeout=120s")
    kubectl("delete", "job", "as-another")
    install("wxmint", "wxmint", {})
    rolled_out()


def autoscaling_that_is_switched_on_stops_no_replica():
    """At the switch, at the next upgrade, and when it is switched off again."""
    issuer()
    for autoscaling in ({"enabled": True, "minReplicas": 2}, {"enabled": True, "minReplicas": 2, "targetCPUUtilizationPercentage": 70}, {"enabled": False}):
        install("wxmint", "wxmint", {"autoscaling": autoscaling})
        assert get("deployment/wxmint")["spec"]["replicas"] == 2, autoscaling
    rolled_out()


def a_rollback_leaves_the_number_to_the_autoscaler():
    """Where autoscaling was on from the beginning: at an upgrade that fails and goes back by itself, at one that does not, and at a rollback."""
    run("kubectl", "apply", "--filename", ROOT / "k8s/namespace.yaml")
    scaled = [*VALUES, "--set=autoscaling.enabled=true,rotation.enabled=false"]
    run(HELM, "install", "scaled", CHART, *scaled)
    kubectl("scale", "deployment/scaled-wxmint", "--replicas=5")
    refused("rolling back", HELM, "upgrade", "scaled", CHART, *scaled, "--set=image.tag=nowhere", "--atomic", "--timeout=3s")
    assert get("deployment/scaled-wxmint")["spec"]["replicas"] == 5, "an upgrade that fails"
    for words in (["upgrade", "scaled", CHART, *scaled, "--set=autoscaling.targetCPUUtilizationPercentage=70"], ["rollback", "scaled", "1", "--namespace=wxmint"]):
        run(HELM, *words)
        assert get("deployment/scaled-wxmint")["spec"]["replicas"] == 5, words[0]
    run(HELM, "uninstall", "scaled", "--namespace=wxmint", "--cascade=foreground", "--wait")

"""The chart as its user has it: the release's own test, an upgrade that fails, and the way back."""

import re

from asked import CHART, HELM, ROOT, get, kubectl, pods, refused, rolled_out, run, service
from chart import VALUES
from cluster import RUN
from world import install, issuer, log_in

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

"""The chart and what it renders, as a real API server judges them. Nothing here needs a node."""

import json
from functools import cache

from asked import CHART, HELM, ROOT, get, kubectl, namespaced, pods, refused, run, until
from cluster import succeeds
from world import APPID, ISSUER, custom_resources

VALUES = ["--namespace=wxmint", "--set=image.repository=docker.io/library/wxmint", "--set=image.pullPolicy=Never", f"--set=appid={APPID}",
          f"--set=issuer={ISSUER}"]
WRONG = {"redis.cidrs={999.0.0.0/8}": "redis.cidrs", "extraVolumes[0].name=secrets": "extraVolumes", "image.tag=latest": "image.tag",
         "replcas=3": "replcas", "replicaCount=many": "replicaCount", "issuer=http://login.example.com": "issuer", "rotation.evry=1d": "evry"}


@cache
def released():
    """A release of the chart in the namespace wxmint, with what it renders by default."""
    namespaced()
    if not succeeds(HELM, "status", "wxmint", "--namespace=wxmint"):
        run(HELM, "install", "wxmint", CHART, *VALUES)


def the_rendered_manifests_are_admitted():
    """With no warning, the monitoring too, and the sidecar's pods where restricted is enforced."""
    namespaced()
    custom_resources()
    run("kubectl", "create", "namespace", "orders")
    run("kubectl", "label", "namespace", "orders", "pod-security.kubernetes.io/enforce=restricted", "pod-security.kubernetes.io/warn=restricted")
    for place in ("rendered/small.yaml", "rendered/production.yaml", "rendered/podmonitor.yaml", "chart/monitoring"):
        kubectl("apply", "--filename", ROOT / "k8s" / place, "--dry-run=server", "--warnings-as-errors")
    kubectl("apply", "--filename", ROOT / "k8s/rendered/sidecar.yaml", "--warnings-as-errors", namespace="orders")
    until("the sidecar's pods are admitted", lambda: len(get("pods", namespace="orders")["items"]) == 2)
    assert "serviceAccountToken" not in json.dumps(get("pods", namespace="orders")), "the sidecar has a token of the API"
    run("kubectl", "delete", "namespace", "orders")


def the_chart_is_admitted_where_restricted_is_enforced():
    """Also as upgraded, and as rolled back; Pods, not only what makes them."""
    namespaced()
    custom_resources()
    refused('violates PodSecurity "restricted', "kubectl", "run", "--namespace=wxmint", "bad", "--image=bad", "--privileged")
    for values in sorted((CHART / "ci").glob("*.yaml")):
        # Neither Cilium nor IPv6 is here.
        objects = run(HELM, "template", "wxmint", CHART, "--namespace=wxmint", "--values", values, "--no-hooks", "--set=networkPolicy.flavor=kubernetes",
                      "--set=service.ipFamilies=null")
        kubectl("apply", "--dry-run=server", "--warnings-as-errors", "--filename=-", input=objects)
    released()
    until("two pods are admitted", lambda: len(pods("wxmint")) == 2)
    kubectl("create", "job", "--from=cronjob/wxmint-keys-rotate", "once")
    until("the rotation's pod is admitted", lambda: len(pods("wxmint-keys-rotate")) >= 1)
    run(HELM, "upgrade", "wxmint", CHART, *VALUES, "--set=replicaCount=3")
    until("three pods are admitted", lambda: len(pods("wxmint")) == 3)
    run(HELM, "rollback", "wxmint", "1", "--namespace=wxmint")
    until("two pods are left", lambda: len(pods("wxmint")) == 2)
    assert "serviceAccountToken" not in json.dumps(pods("wxmint")), "serve has a token of the API"
    assert "serviceAccountToken" in json.dumps(pods("wxmint-keys-rotate"))
    kubectl("delete", "job", "once")


def wrong_values_are_refused_with_their_names():
    """By the schema and the chart's own sentences, before anything is sent."""
    released()
    for value, name in WRONG.items():
        refused(name, HELM, "upgrade", "wxmint", CHART, *VALUES, f"--set={value}")

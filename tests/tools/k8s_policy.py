"""Holds rendered Kubernetes manifests to what we promise of them, beyond what their schema says.

    k8s_policy.py --env-example .env.example RENDERED.yaml...
    k8s_policy.py --self-test RENDERED.yaml

The rules are those of Pod Security "restricted" plus ours: images pinned, probes, resources, no secret in plain, no
setting that wxmint does not know. The self-test spoils a good manifest in each way that a rule is there for, one at a
time, and expects the refusal: a check that cannot fail shows nothing.
"""

import argparse
import copy
import re
import sys
from pathlib import Path

import yaml

SECRET_NAME = re.compile(r"SECRET|PASSWORD|TOKEN_KEY|REDIS_URL|PRIVATE")
SETTING = re.compile(r"^#?\s?(WXMINT_[A-Z_]+)=", re.MULTILINE)
GENERAL_SETTINGS = re.compile(r"^(RUST_LOG|OTEL_[A-Z_]+)$")
ALLOWED_VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}


def pod_spec(document):
    """The pod that a workload makes, or None where the document makes none."""
    kind, spec = document["kind"], document.get("spec", {})
    if kind == "Pod":
        return spec
    if kind == "CronJob":
        spec = spec["jobTemplate"]["spec"]
    return spec.get("template", {}).get("spec")


def check_pod(pod):
    """What is wrong with a pod as a whole."""
    security = pod.get("securityContext", {})
    if security.get("runAsNonRoot") is not True or security.get("runAsUser") == 0:
        yield "the pod may run as root"
    if security.get("seccompProfile", {}).get("type") != "RuntimeDefault":
        yield "the pod has no seccomp profile"
    if pod.get("enableServiceLinks") is not False:
        yield "enableServiceLinks is not false"
    if pod.get("automountServiceAccountToken") is not False:
        yield "a service-account token is mounted"
    for namespace in ("hostNetwork", "hostPID", "hostIPC"):
        if pod.get(namespace):
            yield f"{namespace} is set"
    for volume in pod.get("volumes", []):
        for kind in volume.keys() - {"name"} - ALLOWED_VOLUMES:
            yield f"volume {volume['name']} is a {kind}"
        if volume.get("secret", {}).get("defaultMode", 0o644) & 0o007:
            yield f"volume {volume['name']} can be read by all"


def check_container(container):
    """What is wrong with one container's rights, image and environment."""
    security = container.get("securityContext", {})
    if security.get("allowPrivilegeEscalation") is not False:
        yield "privileges may be escalated"
    if security.get("privileged"):
        yield "the container is privileged"
    if security.get("readOnlyRootFilesystem") is not True:
        yield "the root filesystem is writable"
    if security.get("capabilities") != {"drop": ["ALL"]}:
        yield "capabilities are not all dropped"
    if security.get("runAsNonRoot") is False or security.get("runAsUser") == 0:
        yield "the container may run as root"
    if any("hostPort" in port for port in container.get("ports", [])):
        yield "a port of the host is taken"
    tag = container["image"].rpartition("/")[2].partition(":")[2]
    if "@sha256:" not in container["image"] and tag in ("", "latest"):
        yield f"image {container['image']} is not pinned"
    resources = container.get("resources", {})
    if not {"cpu", "memory"} <= resources.get("requests", {}).keys() or "memory" not in resources.get("limits", {}):
        yield "requests for cpu and memory, or the limit of memory, are missing"
    for variable in container.get("env", []):
        if "value" in variable and SECRET_NAME.search(variable["name"]) and not variable["name"].endswith("_FILE"):
            yield f"{variable['name']} is written in plain"


def check_probes(container):
    """What is wrong with the probes of a container that serves."""
    wanted = {"startupProbe": "/livez", "livenessProbe": "/livez", "readinessProbe": "/readyz"}
    for probe, path in wanted.items():
        got = container.get(probe, {}).get("httpGet", {})
        if (got.get("path"), got.get("port")) != (path, "admin"):
            yield f"{probe} does not ask {path} on the admin port"


def check_drain(pod):
    """A pod must leave the load balancers before it is told to stop, and have time left after."""
    pauses = [c.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0) for c in pod["containers"]]
    if not pauses[0]:
        yield "no preStop sleep"
    if pod.get("terminationGracePeriodSeconds", 30) < max(pauses) + 15:
        yield "the grace period leaves less than 15 s after preStop"


def check_document(document):
    """What is wrong with one document, as sentences."""
    if document["kind"] == "Secret":
        yield "a Secret is in the manifests"
    if document["kind"] == "ConfigMap":
        for name in document.get("data", {}):
            if SECRET_NAME.search(name) and not name.endswith("_FILE"):
                yield f"{name} is written in plain"
    pod = pod_spec(document)
    if pod is None:
        return
    yield from check_pod(pod)
    for container in pod["containers"] + pod.get("initContainers", []):
        yield from check_container(container)
    if document["kind"] == "Deployment":
        yield from check_probes(pod["containers"][0])
        yield from check_drain(pod)


def check_company(documents):
    """What a Deployment must not come without."""
    kinds = [document["kind"] for document in documents]
    for kind in ("Deployment", "PodDisruptionBudget", "NetworkPolicy"):
        if kind not in kinds:
            yield f"there is no {kind}"
    policies = [d["spec"].get("policyTypes", []) for d in documents if d["kind"] == "NetworkPolicy"]
    if not any({"Ingress", "Egress"} <= set(types) for types in policies):
        yield "no NetworkPolicy denies both ways by default"


def variables(documents):
    """The names of all environment variables that the manifests set."""
    for document in documents:
        if document["kind"] == "ConfigMap":
            yield from document.get("data", {})
        for container in (pod_spec(document) or {}).get("containers", []):
            yield from (variable["name"] for variable in container.get("env", []))


def check(documents, settings):
    """All that is wrong with a set of manifests; `settings` are the variables that wxmint knows, or None."""
    for document in documents:
        where = f"{document['kind']}/{document['metadata']['name']}"
        yield from (f"{where}: {fault}" for fault in check_document(document))
    yield from check_company(documents)
    if settings is not None:
        for name in variables(documents):
            if name not in settings and not GENERAL_SETTINGS.match(name):
                yield f"{name} is no setting of wxmint"


def only(documents, kind):
    """The one document of a kind."""
    return next(document for document in documents if document["kind"] == kind)


def spoiled(documents):
    """(the fault expected, the manifests with just that fault), for every rule."""

    def spoil(expected, kind, change):
        copies = copy.deepcopy(documents)
        document = only(copies, kind)
        change(document)
        return expected, copies

    def pod(expected, change):
        return spoil(expected, "Deployment", lambda document: change(pod_spec(document)))

    def container(expected, change):
        return pod(expected, lambda spec: change(spec["containers"][0]))

    def rights(expected, **changed):
        return container(expected, lambda c: c["securityContext"].update(changed))

    yield pod("may run as root", lambda p: p["securityContext"].pop("runAsNonRoot"))
    yield pod("may run as root", lambda p: p["securityContext"].update(runAsUser=0))
    yield pod("no seccomp profile", lambda p: p["securityContext"].pop("seccompProfile"))
    yield pod("enableServiceLinks", lambda p: p.pop("enableServiceLinks"))
    yield pod("token is mounted", lambda p: p.pop("automountServiceAccountToken"))
    for namespace in ("hostNetwork", "hostPID", "hostIPC"):
        yield pod(f"{namespace} is set", lambda p, name=namespace: p.update({name: True}))
    yield pod("is a hostPath", lambda p: p["volumes"].append({"name": "host", "hostPath": {"path": "/"}}))
    yield pod("read by all", lambda p: p["volumes"][0]["secret"].pop("defaultMode"))
    yield pod("no preStop sleep", lambda p: p["containers"][0].pop("lifecycle"))
    yield pod("grace period", lambda p: p.update(terminationGracePeriodSeconds=10))
    yield pod("not pinned", lambda p: p.update(initContainers=[{**p["containers"][0], "image": "busybox"}]))
    yield rights("escalated", allowPrivilegeEscalation=True)
    yield rights("is privileged", privileged=True)
    yield rights("writable", readOnlyRootFilesystem=False)
    yield rights("not all dropped", capabilities={"drop": ["ALL"], "add": ["NET_ADMIN"]})
    yield rights("container may run as root", runAsUser=0)
    yield container("port of the host", lambda c: c["ports"][0].update(hostPort=80))
    for image in ("wxmint", "wxmint:latest", "registry.example.com:5000/wxmint"):
        yield container("not pinned", lambda c, image=image: c.update(image=image))
    yield container("are missing", lambda c: c["resources"]["requests"].pop("cpu"))
    yield container("are missing", lambda c: c["resources"].pop("limits"))
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        yield container(f"{probe} does not ask", lambda c, probe=probe: c.pop(probe))
    yield container("livenessProbe does not", lambda c: c["livenessProbe"]["httpGet"].update(path="/readyz"))
    plain = {"name": "WXMINT_APP_SECRET", "value": "x"}
    yield container("WXMINT_APP_SECRET is written", lambda c: c["env"].append(plain))
    yield spoil("REDIS_URL is written", "ConfigMap", lambda d: d["data"].update(WXMINT_REDIS_URL="redis://:x@redis"))
    yield spoil("WXMINT_LISTNE is no setting", "ConfigMap", lambda d: d["data"].update(WXMINT_LISTNE="x"))
    yield spoil("both ways", "NetworkPolicy", lambda d: d["spec"].update(policyTypes=["Ingress"]))
    yield "a Secret is in", [*documents, {"kind": "Secret", "metadata": {"name": "x"}}]
    for kind in ("PodDisruptionBudget", "NetworkPolicy", "Deployment"):
        yield f"there is no {kind}", [document for document in documents if document["kind"] != kind]


def self_test(documents):
    """Complaints about rules that let their fault pass."""
    settings = set(variables(documents))
    yield from (f"the good manifest is refused: {fault}" for fault in check(documents, settings))
    for expected, manifests in spoiled(documents):
        faults = list(check(manifests, settings))
        if not any(expected in fault for fault in faults):
            yield f"not noticed: {expected} (noticed: {faults})"


def main():
    """Prints what is wrong and exits with 1, or says what was checked."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--self-test", action="store_true", help="check the rules instead of the manifests")
    arguments.add_argument("--env-example", type=Path, help="the file that lists every setting")
    arguments.add_argument("rendered", nargs="+", type=Path)
    chosen = arguments.parse_args()

    settings = set(SETTING.findall(chosen.env_example.read_text())) if chosen.env_example else None
    failed = False
    for path in chosen.rendered:
        documents = [document for document in yaml.safe_load_all(path.read_text()) if document]
        faults = list(self_test(documents) if chosen.self_test else check(documents, settings))
        failed = failed or bool(faults)
        print(*(f"{path}: {fault}" for fault in faults), sep="\n", end="\n" if faults else "")
        if not faults:
            passed = f"{len(list(spoiled(documents)))} faults refused" if chosen.self_test else "policy held"
            print(f"{path}: {passed}")
    sys.exit(failed)


if __name__ == "__main__":
    main()

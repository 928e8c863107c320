"""Holds rendered Kubernetes manifests to what we promise of them, beyond what their schema says.

    k8s_policy.py --env-example .env.example RENDERED.yaml...
    k8s_policy.py --self-test RENDERED.yaml
    k8s_policy.py --alerts RENDERED.yaml

The rules are those of Pod Security "restricted" plus ours: images pinned, probes, resources, no secret in plain, no
setting that wxmint does not know, rights by name alone and a service-account token only where they are needed. The self-test spoils a good manifest in each way that a rule is there for, one at a
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
GENERAL_SETTINGS = re.compile(r"^(RUST_LOG|OTEL_[A-Z_]+|NAMESPACE)$")
# Who may have a service-account token, and what it may be good for.
ROTATOR = ("CronJob", "wxmint-keys-rotate")
ROTATOR_RIGHTS = {("secrets", "wxmint-keys"), ("configmaps", "wxmint-jwks")}
ROTATOR_VERBS = {"get", "update"}
ALLOWED_VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}


def pod_template(document):
    """The pod that a workload makes, as metadata and spec, or None where the document makes none."""
    kind, spec = document["kind"], document.get("spec", {})
    if kind == "Pod":
        return document
    if kind == "CronJob":
        spec = spec["jobTemplate"]["spec"]
    return spec.get("template")


def pod_spec(document):
    """What its pods are like, or None where the document makes none."""
    return (pod_template(document) or {}).get("spec")


def labels_of(document):
    """What its pods are labelled with."""
    return pod_template(document).get("metadata", {}).get("labels", {})


def identity(document):
    """Kind and name."""
    return document["kind"], document["metadata"]["name"]


def check_pod(pod, may_have_token):
    """What is wrong with a pod as a whole."""
    security = pod.get("securityContext", {})
    if security.get("runAsNonRoot") is not True or security.get("runAsUser") == 0:
        yield "the pod may run as root"
    if security.get("seccompProfile", {}).get("type") != "RuntimeDefault":
        yield "the pod has no seccomp profile"
    if pod.get("enableServiceLinks") is not False:
        yield "enableServiceLinks is not false"
    if pod.get("automountServiceAccountToken") is not may_have_token:
        yield "no service-account token is mounted" if may_have_token else "a service-account token is mounted"
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


def check_schedule(cronjob):
    """A job that hangs, piles up or never runs is noticed too late."""
    if cronjob.get("suspend"):
        yield "the job is suspended"
    if cronjob.get("concurrencyPolicy") != "Forbid":
        yield "concurrencyPolicy is not Forbid"
    if not cronjob.get("startingDeadlineSeconds"):
        yield "no startingDeadlineSeconds"
    if not cronjob["jobTemplate"]["spec"].get("activeDeadlineSeconds"):
        yield "no activeDeadlineSeconds"


def check_role(role):
    """Rights are to be by name, and no more of them than the rotator needs."""
    for rule in role["rules"]:
        targets = {(resource, name) for resource in rule.get("resources", []) for name in rule.get("resourceNames", [None])}
        if rule.get("apiGroups") != [""] or not targets or targets - ROTATOR_RIGHTS:
            yield f"it gives rights on more than {sorted(ROTATOR_RIGHTS)}"
        if set(rule["verbs"]) - ROTATOR_VERBS:
            yield f"it gives more than {sorted(ROTATOR_VERBS)}"


def check_document(document):
    """What is wrong with one document, as sentences."""
    kind = document["kind"]
    if kind == "Secret":
        yield "a Secret is in the manifests"
    if kind in ("ClusterRole", "ClusterRoleBinding"):
        yield "rights in the whole cluster"
    if kind == "ServiceAccount" and document.get("automountServiceAccountToken") is not False:
        yield "its token is mounted wherever nobody forbids it"
    if kind == "Role":
        yield from check_role(document)
    if kind == "CronJob":
        yield from check_schedule(document["spec"])
    if document["kind"] == "ConfigMap":
        for name in document.get("data", {}):
            if SECRET_NAME.search(name) and not name.endswith("_FILE"):
                yield f"{name} is written in plain"
    pod = pod_spec(document)
    if pod is None:
        return
    yield from check_pod(pod, may_have_token=identity(document) == ROTATOR)
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
    for workload in (document for document in documents if pod_template(document)):
        where, labels = "/".join(identity(workload)), labels_of(workload)
        policies = [d["spec"] for d in documents if d["kind"] == "NetworkPolicy"]
        closed = [p for p in policies if {"Ingress", "Egress"} <= set(p.get("policyTypes", [])) and selects(p["podSelector"], labels)]
        if not closed:
            yield f"no NetworkPolicy denies both ways to {where}"
        for service in (d for d in documents if d["kind"] == "Service"):
            if workload["kind"] != "Deployment" and selects({"matchLabels": service["spec"]["selector"]}, labels):
                yield f"{where} gets what is sent to the Service {service['metadata']['name']}"
    yield from check_binding(documents)


def selects(selector, labels):
    """Whether a selector by labels matches."""
    return selector.get("matchLabels", {}).items() <= labels.items()


def check_binding(documents):
    """Rights are for the rotator alone, and its account is nobody else's."""
    accounts = {}
    for workload in (document for document in documents if pod_template(document)):
        accounts.setdefault(pod_spec(workload).get("serviceAccountName", "default"), []).append(identity(workload))
    present = {document["metadata"]["name"] for document in documents if document["kind"] == "ServiceAccount"}
    for binding in (document for document in documents if document["kind"] == "RoleBinding"):
        for subject in binding["subjects"]:
            name = subject["name"]
            if subject["kind"] != "ServiceAccount" or name not in present or accounts.get(name) != [ROTATOR]:
                yield f"RoleBinding/{binding['metadata']['name']} gives rights to others than the rotator"


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


def check_alerts(documents):
    """What is wrong with the rules for Prometheus; promtool knows their expressions."""
    for document in documents:
        where = "/".join(identity(document))
        if (document["apiVersion"], document["kind"]) != ("monitoring.coreos.com/v1", "PrometheusRule"):
            yield f"{where} is no PrometheusRule"
            continue
        for rule in (rule for group in document["spec"]["groups"] for rule in group["rules"]):
            said = rule.get("annotations", {})
            if not (rule.get("alert") and rule.get("expr") and rule.get("for")):
                yield f"{where}: a rule lacks alert, expr or for"
            if rule.get("labels", {}).get("severity") not in ("warning", "critical"):
                yield f"{where}: {rule.get('alert')} has no severity"
            if not (said.get("summary") and said.get("description")):
                yield f"{where}: {rule.get('alert')} does not say what happened and what to do"


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
    yield spoil("both ways to Deployment", "NetworkPolicy", lambda d: d["spec"].update(policyTypes=["Ingress"]))
    yield spoil("wherever nobody forbids it", "ServiceAccount", lambda d: d.pop("automountServiceAccountToken"))
    yield "a Secret is in", [*documents, {"kind": "Secret", "metadata": {"name": "x"}}]
    for kind in ("PodDisruptionBudget", "NetworkPolicy", "Deployment"):
        yield f"there is no {kind}", [document for document in documents if document["kind"] != kind]
    if any(identity(document) == ROTATOR for document in documents):
        yield from spoiled_rotation(documents, spoil)


def spoiled_rotation(documents, spoil):
    """The same for what comes with the rotator."""

    def job(expected, change):
        return spoil(expected, "CronJob", lambda document: change(document["spec"]))

    def rule(expected, **changed):
        return spoil(expected, "Role", lambda document: document["rules"][0].update(changed))

    def deployment(expected, **changed):
        return spoil(expected, "Deployment", lambda document: pod_spec(document).update(changed))

    rights = "rights on more than"
    yield job("is suspended", lambda j: j.update(suspend=True))
    yield job("not Forbid", lambda j: j.update(concurrencyPolicy="Allow"))
    yield job("no startingDeadlineSeconds", lambda j: j.pop("startingDeadlineSeconds"))
    yield job("no activeDeadlineSeconds", lambda j: j["jobTemplate"]["spec"].pop("activeDeadlineSeconds"))
    yield spoil("no service-account token", "CronJob", lambda d: pod_spec(d).pop("automountServiceAccountToken"))
    yield spoil("may run as root", "CronJob", lambda d: pod_spec(d)["securityContext"].pop("runAsNonRoot"))
    yield spoil("a service-account token is mounted", "CronJob", lambda d: d["metadata"].update(name="another"))
    yield deployment("a service-account token is mounted", automountServiceAccountToken=True)
    yield deployment("to others than the rotator", serviceAccountName="wxmint-keys-rotate")
    yield rule(rights, resourceNames=["wxmint-keys", "wxmint-app"])
    yield rule(rights, resourceNames=[])
    yield spoil(rights, "Role", lambda d: d["rules"][0].pop("resourceNames"))
    yield rule(rights, resources=["secrets", "pods"])
    yield rule(rights, apiGroups=["*"])
    yield rule("gives more than", verbs=["get", "update", "list"])
    everybody = {"kind": "Group", "name": "system:serviceaccounts"}
    yield spoil("to others than the rotator", "RoleBinding", lambda d: d["subjects"].append(everybody))
    yield "in the whole cluster", [*documents, {"kind": "ClusterRole", "metadata": {"name": "x"}, "rules": []}]
    yield spoil("sent to the Service", "CronJob", lambda d: labels_of(d).update({"app.kubernetes.io/name": "wxmint"}))
    without = [d for d in documents if identity(d) != ("NetworkPolicy", "wxmint-keys-rotate")]
    yield "both ways to CronJob", without


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
    arguments.add_argument("--alerts", action="store_true", help="these are rules for Prometheus")
    arguments.add_argument("--env-example", type=Path, help="the file that lists every setting")
    arguments.add_argument("rendered", nargs="+", type=Path)
    chosen = arguments.parse_args()

    settings = set(SETTING.findall(chosen.env_example.read_text())) if chosen.env_example else None
    failed = False
    for path in chosen.rendered:
        documents = [document for document in yaml.safe_load_all(path.read_text()) if document]
        if chosen.alerts:
            faults = list(check_alerts(documents))
        else:
            faults = list(self_test(documents) if chosen.self_test else check(documents, settings))
        failed = failed or bool(faults)
        print(*(f"{path}: {fault}" for fault in faults), sep="\n", end="\n" if faults else "")
        if not faults:
            passed = f"{len(list(spoiled(documents)))} faults refused" if chosen.self_test else "policy held"
            print(f"{path}: {passed}")
    sys.exit(failed)


if __name__ == "__main__":
    main()

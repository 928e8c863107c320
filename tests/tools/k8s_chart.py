"""Holds the chart to the kustomize tree, to its schema, and to what its README and notes promise.

    k8s_chart.py HELM CHART FOLDER

FOLDER has what kustomize renders: like-the-chart.yaml and production.yaml. The chart, rendered with each file of CHART/ci, is
put beside them, so that the checks of manifests look at it too.
"""

import copy
import difflib
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import jsonschema
import yaml

REQUIRED = {
    "image.repository": "registry.example.com/wxmint",
    "issuer": "https://login.example.com",
    "appid": "wx0123456789abcdef",
}
LIKE_KUSTOMIZE = {**REQUIRED, "replicas": "1", "ingress.enabled": "true", "admin.enabled": "true"}
# What Helm's objects have and kustomize's have not.
HELMS_LABELS = {"app.kubernetes.io/instance", "app.kubernetes.io/version", "app.kubernetes.io/managed-by", "helm.sh/chart"}
# Faults that are to be refused in helm's own words, and what must be among these.
REFUSED = {
    "replcas=3": "Additional property replcas is not allowed",
    "ingress.enable=true": "Additional property enable is not allowed",
    "replicas=many": "Expected: integer, given: string",
    "issuer=http://login.example.com": "issuer: Does not match pattern",
    "settings.WXMINT_APP_SECRET=x": "WXMINT_APP_SECRET",
    "settings.wxmint_token_ttl=1h": "wxmint_token_ttl",
}


def helm(program, *arguments):
    """What helm says, and whether it was content."""
    done = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, check=False)
    return done.returncode == 0, done.stdout, done.stderr


def template(program, chart, *arguments, release="wxmint"):
    """`helm template`."""
    return helm(program, "template", release, chart, "--namespace=wxmint", *arguments)


def sets(values):
    """Values as options."""
    return [f"--set={name}={value}" for name, value in values.items()]


def documents_in(text):
    """What a stream of YAML holds."""
    return [document for document in yaml.safe_load_all(text) if document]


def without_helms_labels(value):
    """The value without labels that Helm adds, in selectors too."""
    if isinstance(value, dict):
        return {name: without_helms_labels(inner) for name, inner in value.items() if name not in HELMS_LABELS}
    return [without_helms_labels(inner) for inner in value] if isinstance(value, list) else value


def objects(text):
    """The objects by kind and name, without what the two tools do in their own ways."""
    documents = documents_in(text)
    # kustomize adds a hash to a ConfigMap's name so that a changed setting rolls the pods; the chart annotates the pods.
    hashed = next((d["metadata"]["name"] for d in documents if d["kind"] == "ConfigMap" and "data" in d), "wxmint")
    documents = documents_in(yaml.safe_dump_all(documents).replace(f"name: {hashed}\n", "name: wxmint\n"))
    for document in documents:
        # Helm installs into the namespace of the release what names none.
        document["metadata"].setdefault("namespace", "wxmint")
        if document["kind"] == "Deployment":
            document["spec"]["template"]["metadata"]["annotations"].pop("checksum/settings", None)
        if document["kind"] == "ConfigMap":
            document["metadata"].pop("labels", None)
    return {f"{d['kind']}/{d['metadata']['name']}": without_helms_labels(d) for d in documents}


def differences(chart, tree):
    """What one has and the other has not."""
    for name in sorted(chart.keys() | tree.keys()):
        if chart.get(name) != tree.get(name):
            sides = [yaml.safe_dump(side.get(name)).splitlines() for side in (tree, chart)]
            yield from difflib.unified_diff(*sides, f"kustomize: {name}", f"chart: {name}", n=1, lineterm="")


def check_like_kustomize(program, chart, folder):
    """The chart makes the same objects as the base with its components, and in production the same autoscaler."""
    _, rendered, said = template(program, chart, *sets(LIKE_KUSTOMIZE))
    yield from said.splitlines()
    yield from differences(objects(rendered), objects((folder / "like-the-chart.yaml").read_text()))
    ours = objects((folder / "chart-production.yaml").read_text())
    theirs = objects((folder / "production.yaml").read_text())
    wanted = ("HorizontalPodAutoscaler/wxmint", "Deployment/wxmint", "CronJob/wxmint-keys-rotate")
    yield from differences({name: ours.get(name) for name in wanted}, {name: theirs[name] for name in wanted})


def check_refusals(program, chart):
    """What is missing or misspelt is named by helm."""
    for missing in REQUIRED:
        content, _, said = template(program, chart, *sets({name: value for name, value in REQUIRED.items() if name != missing}))
        if content or f"{missing}: set it to" not in said:
            yield f"without {missing}: {said or 'rendered'}"
    for fault, words in REFUSED.items():
        content, _, said = template(program, chart, *sets(REQUIRED), f"--set={fault}")
        if content or words not in said:
            yield f"with {fault}: {said or 'rendered'}"


def spoiled(values, schema, path=()):
    """Each value that the schema describes: misspelt, and of another type."""
    for name, inner in values.items() if isinstance(values, dict) else enumerate(values):
        below = schema.get("properties", {}).get(name) if isinstance(values, dict) else schema.get("items")
        if below is None:
            continue
        if isinstance(values, dict):
            yield (*path, name), "misspelt", lambda parent, name=name: parent.update({f"{name}x": parent.pop(name)})
        wrong = "text" if isinstance(inner, (dict, list)) else {"an": "object"}
        yield (*path, name), "mistyped", lambda parent, name=name, wrong=wrong: parent.__setitem__(name, wrong)
        if isinstance(inner, (dict, list)):
            yield from spoiled(inner, below, (*path, name))


def described(schema, path=()):
    """The paths of all values that the schema describes, but for those in lists."""
    for name, inner in schema.get("properties", {}).items():
        yield (*path, name)
        yield from described(inner, (*path, name))


def check_schema(chart):
    """values.yaml and the schema have the same names, and no misspelt or mistyped value gets through."""
    schema = json.loads((chart / "values.schema.json").read_text())
    defaults = yaml.safe_load((chart / "values.yaml").read_text())
    everything = yaml.safe_load((chart / "ci/everything-values.yaml").read_text())
    for path in described(schema):
        for file, values in (("values.yaml", defaults), ("ci/everything-values.yaml", everything)):
            for name in path:
                values = values.get(name) if isinstance(values, dict) else None
            # What Kubernetes describes has no default here.
            if values is None and path[0] not in ("global", "affinity"):
                yield f"{file} lacks {'.'.join(path)}"
    validator = jsonschema.Draft7Validator(schema)
    for path, how, change in spoiled(everything, schema):
        values = copy.deepcopy(everything)
        parent = values
        for name in path[:-1]:
            parent = parent[name]
        change(parent)
        if validator.is_valid(values):
            yield f"the schema does not notice: {'.'.join(map(str, path))} {how}"


def selectors(document):
    """The labels by which an object picks pods of its namespace."""
    spec = document.get("spec", {})
    if document["kind"] == "Service":
        return [spec["selector"]]
    found = [spec[name]["matchLabels"] for name in ("selector", "podSelector") if name in spec]
    constraints = spec.get("template", {}).get("spec", {}).get("topologySpreadConstraints", [])
    return found + [constraint["labelSelector"]["matchLabels"] for constraint in constraints]


def pod_of(document):
    """The pod that it makes, or None."""
    spec = document.get("spec", {})
    return spec.get("jobTemplate", {}).get("spec", spec).get("template")


def check_two_releases(program, chart):
    """Two releases in a namespace share no object, no Secret, and no pod; a name of any length becomes a good one."""
    rendered = {}
    for release in ("shop", "y" * 53):
        options = [*sets(REQUIRED), "--set=admin.enabled=true,ingress.enabled=true,autoscaling.enabled=true,podMonitor.enabled=true"]
        _, text, said = template(program, chart, *options, release=release)
        yield from said.splitlines()
        rendered[release] = documents_in(text)
        for document in rendered[release]:
            name, most = document["metadata"]["name"], 52 if document["kind"] == "CronJob" else 63
            if len(name) > most or name.endswith("-"):
                yield f"{document['kind']}/{name} is no good name"
    one, other = rendered.values()
    names = [{(d["kind"], d["metadata"]["name"]) for d in side} for side in (one, other)]
    yield from (f"two releases have {kind}/{name}" for kind, name in names[0] & names[1])
    secrets = [set(secrets_of(side)) for side in (one, other)]
    yield from (f"two releases read the Secret {name}" for name, _ in secrets[0] & secrets[1])
    pods = [pod_of(document)["metadata"]["labels"] for document in other if pod_of(document)]
    for document in one:
        for selector in selectors(document):
            if any(selector.items() <= labels.items() for labels in pods):
                yield f"{document['kind']}/{document['metadata']['name']} picks pods of another release"


def secrets_of(documents):
    """The Secrets that the pods mount, with the fields."""
    deployment = next(document for document in documents if document["kind"] == "Deployment")
    for volume in pod_of(deployment)["spec"]["volumes"]:
        for source in volume["projected"]["sources"]:
            yield from ((source["secret"]["name"], item["key"]) for item in source["secret"]["items"])


def check_notes(program, chart):
    """The notes say how to make each Secret that the pods mount. helm shows notes to a cluster only, so they are a template here."""
    others = [f"--values={chart}/ci/everything-values.yaml", "--set=extraVolumes=null,secrets.keys.name=keys-of-ours"]
    for options in (["--set=admin.enabled=true"], others):
        with tempfile.TemporaryDirectory() as folder:
            copied = Path(shutil.copytree(chart, Path(folder) / "wxmint"))
            notes = copied / "templates/NOTES.txt"
            (copied / "templates/_notes.tpl").write_text('{{ define "notes" }}' + notes.read_text() + "{{ end }}")
            (copied / "templates/notes.yaml").write_text('kind: Notes\nnotes: {{ include "notes" . | quote }}\n')
            _, text, said = template(program, copied, *sets(REQUIRED), *options)
        yield from said.splitlines()
        documents = documents_in(text)
        said = next(document["notes"] for document in documents if document["kind"] == "Notes")
        mounted = set(secrets_of(documents))
        for secret, field in mounted:
            if not any(f" generic {secret} --from-file={field}" in line for line in said.splitlines()):
                yield f"the notes do not make the field {field} of the Secret {secret}:\n{said}"
        rotated = next(document["rules"][0]["resourceNames"] for document in documents if document["kind"] == "Role")
        if (*rotated, "keys.json") not in mounted:
            yield f"the rotator changes {rotated}, and the pods do not mount it"


def check_files(program, chart, folder):
    """helm finds nothing to say against the chart with each file of values; what it renders is put into the folder."""
    for values in sorted((chart / "ci").iterdir()):
        for arguments in (["lint", "--strict", "--quiet", chart], ["template", "wxmint", chart, "--namespace=wxmint"]):
            content, rendered, said = helm(program, *arguments, f"--values={values}")
            if not content:
                yield f"{values.name}: {rendered}{said}"
        (folder / f"chart-{values.stem.removesuffix('-values')}.yaml").write_text(rendered)


def main():
    """Exits with 1 and what is wrong, or says what was found."""
    program, chart, folder = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    # What helm cannot render, nothing else can be said of.
    if complaints := list(check_files(program, chart, folder)):
        sys.exit("\n".join(complaints))
    complaints = [
        *check_like_kustomize(program, chart, folder),
        *check_refusals(program, chart),
        *check_schema(chart),
        *check_two_releases(program, chart),
        *check_notes(program, chart),
    ]
    print(*complaints or ["chart: the same objects as kustomize, valid values, two releases in one namespace, notes"], sep="\n")
    sys.exit(bool(complaints))


main()

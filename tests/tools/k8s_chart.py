"""Shows that the chart and the kustomize tree make the same objects, so that a change to one is made to the other.

    k8s_chart.py HELM CHART KUSTOMIZED.yaml OUTPUT.yaml

Renders CHART with the values of KUSTOMIZED into OUTPUT, compares the two, and leaves out each required value in turn,
which HELM must then name.
"""

import subprocess
import sys
from pathlib import Path

import yaml

REQUIRED = {
    "image.repository": "registry.example.com/wxmint",
    "issuer": "https://login.example.com",
    "appid": "wx0123456789abcdef",
}
OTHERS = {"replicas": "1", "ingress.enabled": "true", "admin.enabled": "true"}


def template(helm, chart, values):
    """`helm template` with these values."""
    sets = [f"--set={name}={value}" for name, value in values.items()]
    command = [helm, "template", "wxmint", chart, "--namespace=wxmint", *sets]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def objects(text):
    """The objects by kind and name, without what the two tools do in their own ways."""
    documents = [document for document in yaml.safe_load_all(text) if document]
    # kustomize adds a hash to a ConfigMap's name so that a changed setting rolls the pods; the chart annotates the pods.
    hashed = next((d["metadata"]["name"] for d in documents if d["kind"] == "ConfigMap" and "data" in d), "wxmint")
    documents = list(yaml.safe_load_all(yaml.safe_dump_all(documents).replace(f"name: {hashed}\n", "name: wxmint\n")))
    for document in documents:
        # Helm installs into the namespace of the release what names none.
        document["metadata"].setdefault("namespace", "wxmint")
        if document["kind"] == "Deployment":
            document["spec"]["template"]["metadata"]["annotations"].pop("checksum/settings", None)
    return {f"{d['kind']}/{d['metadata']['name']}": d for d in documents}


def differences(chart, tree):
    """What one has and the other has not."""
    for name in sorted(chart.keys() | tree.keys()):
        if chart.get(name) != tree.get(name):
            sides = [yaml.safe_dump(side.get(name)).splitlines() for side in (chart, tree)]
            yield f"{name} differs between k8s/chart and k8s/base"
            yield from (f"    chart only: {line}" for line in sides[0] if line not in sides[1])
            yield from (f"    kustomize only: {line}" for line in sides[1] if line not in sides[0])


def main():
    """Exits with 1 and the differences, or says how many objects are the same."""
    helm, chart, kustomized, output = sys.argv[1:]
    rendered = template(helm, chart, {**REQUIRED, **OTHERS})
    if rendered.returncode:
        sys.exit(rendered.stderr)
    Path(output).write_text(rendered.stdout)
    ours, theirs = objects(rendered.stdout), objects(Path(kustomized).read_text())
    complaints = list(differences(ours, theirs))
    for missing in REQUIRED:
        refused = template(helm, chart, {name: value for name, value in REQUIRED.items() if name != missing})
        if refused.returncode == 0 or f"{missing}: set it to" not in refused.stderr:
            complaints.append(f"without {missing}: {refused.stderr or 'rendered'}")
    print(*complaints or [f"chart: {len(ours)} objects, the same as those of kustomize"], sep="\n")
    sys.exit(bool(complaints))


main()

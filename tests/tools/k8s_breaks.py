"""Plants a break of the chart for each rule of k8s_rules.py: k8s_breaks.py FOLDER, for what is rendered. The rule must notice it by its name, and the
chart as it is must break none."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

from k8s_rules import judged

CHART, HELM, FOLDER = Path("k8s/chart"), Path(sys.executable).parent / "helm", Path(sys.argv[1])
ISSUER, SERVICE, EVERYTHING, GATEWAY, SCALED = "small", "sidecar-in-cluster", "everything", "gateway-api", "production"
MONITOR = ("everything", "podMonitor.enabled=false,serviceMonitor.enabled=true")
# The rule that must notice it, a file of templates, what stands there, what stands there in its place, and with which values.
BREAKS = [
    ("settings that are not the revision's", "deployment", "          ports:\n", "          envFrom: [{configMapRef: {name: settings}}]\n          ports:\n", ISSUER),
    ("settings that are not the revision's", "peer", "          downwardAPI:\n            items:", "          configMap:\n            name: nginx\n            items:", SERVICE),
    ("a variable that is there twice", "_helpers.tpl", "if not (hasKey $named $name)", "if true", (EVERYTHING, "settings.WXMINT_KEY_PREPUBLISH=45m")),
    ("a secret in a variable", "rotation", "fieldRef:\n                      fieldPath: metadata.namespace", "secretKeyRef:\n                      {name: a, key: b}", ISSUER),
    ("a variable that is no setting", "_helpers.tpl", '"WXMINT_LISTEN"', '"WXMINT_LISTENS"', ISSUER),
    ("a danger", "_helpers.tpl", '"WXMINT_LISTEN"', '"WXMINT_DANGEROUS_LISTEN"', ISSUER),
    ("a token of the API", "deployment", "automountServiceAccountToken: false", "automountServiceAccountToken: true", ISSUER),
    ("a token of the API", "rotation", "automountServiceAccountToken: true", "automountServiceAccountToken: false", ISSUER),
    ("variables for each Service", "deployment", "enableServiceLinks: false", "enableServiceLinks: true", ISSUER),
    ("a pod that may be root", "_helpers.tpl", "{{- with .Values.podSecurityContext }}", '{{- with omit .Values.podSecurityContext "runAsNonRoot" }}', ISSUER),
    ("a pod whose user cannot read its Secrets", "_helpers.tpl", "{{- with .Values.podSecurityContext }}", '{{- with omit .Values.podSecurityContext "fsGroup" }}', ISSUER),
    ("a Secret as a whole, or for all to read", "deployment", "        - name: secrets\n          projected:\n            defaultMode: 0440", "        - name: secrets\n          projected:\n            defaultMode: 0444", ISSUER),
    ("a Secret as a whole, or for all to read", "deployment", "                  items:\n                    - key: keys.json\n                      path: keys.json\n", "", ISSUER),
    ("rights of a container", "rotation", '{{- include "wxmint.rights" . | trim | nindent 14 }}', "", ISSUER),
    ("rights of a container", "_helpers.tpl", "{{- with .Values.securityContext }}", '{{- with omit .Values.securityContext "capabilities" }}', ISSUER),
    ("a mount that is never updated", "deployment", "              mountPath: /var/run/wxmint\n", "              mountPath: /var/run/wxmint\n              subPath: keys.json\n", ISSUER),
    ("memory without a limit", "_helpers.tpl", "      memory: 384Mi", "      cpu: 1", SERVICE),
    ("an exit without a word", "rotation", "terminationMessagePolicy: FallbackToLogsOnError", "terminationMessagePolicy: File", ISSUER),
    ("fewer replicas while it rolls", "_helpers.tpl", "maxUnavailable: 0", "maxUnavailable: 1", ISSUER),
    ("a pod that stops before proxies know", "deployment", "          lifecycle:", "          lifecycles:", ISSUER),
    ("a pod that stops before proxies know", "deployment", "{{ add .Values.stopDelay 25 }}", "20", ISSUER),
    ("a pod that stops before proxies know", "peer", "{{ add .Values.stopDelay 25 }}", "20", SERVICE),
    ("probes", "_helpers.tpl", "readinessProbe:\n  httpGet:\n    path: /readyz", "readinessProbe:\n  httpGet:\n    path: /livez", ISSUER),
    ("probes", "_helpers.tpl", "livenessProbe:\n  httpGet:\n    path: /livez", "livenessProbe:\n  httpGet:\n    path: /readyz", SERVICE),
    ("a probe of the public listener", "deployment", '"wxmint.probes" "admin"', '"wxmint.probes" "http"', ISSUER),
    ("a sidecar that ends before its service", "_helpers.tpl", "  restartPolicy: Always\n", "", SERVICE),
    ("replicas spread around the old ones", "_helpers.tpl", "matchLabelKeys: [pod-template-hash]", "matchLabelKeys: []", ISSUER),
    ("a label of the chart's version, which restarts pods", "_helpers.tpl", '"app.kubernetes.io/name" (index . 1) "app', '"helm.sh/chart" "a" "app.kubernetes.io/name" (index . 1) "app', ISSUER),
    ("two rotations at once, or one that begins again", "rotation", "concurrencyPolicy: Forbid", "concurrencyPolicy: Allow", ISSUER),
    ("a rotation with settings that are not its own", "rotation", 'pick .Values.settings "WXMINT_KEY_PREPUBLISH"', 'pick .Values.settings "WXMINT_TRUSTED_PROXIES"', SCALED),
    ("a mesh's proxy, which never ends", "rotation", "$part) | fromYaml) .podLabels", "$part) | fromYaml) dict", ISSUER),
    ("a policy that leaves a direction open", "networkpolicy", "policyTypes: [Ingress, Egress]\n  ingress", "policyTypes: [Ingress]\n  ingress", ISSUER),
    ("a way that is not named", "networkpolicy", "      ports:\n        {{- range .Values.redis.podPorts }}\n        - port: {{ . }}\n        {{- end }}\n    {{- with", "    {{- with", ISSUER),
    ("a way in for everybody", "networkpolicy", "        - namespaceSelector:\n            matchLabels:\n              wxmint/sends-logins: allowed", "        - namespaceSelector: {}", ISSUER),
    ("an init container's port by its name, which not every controller knows", "peer", '(list . 9090)', '(list . "wxmint-admin")', SERVICE),
    ("the admin listener is open", "admin", "          podSelector:", "        - podSelector:", EVERYTHING),
    ("a way out to what is inside", "networkpolicy", "except: [10.0.0.0/8, ", "except: [", ISSUER),
    ("a policy of Cilium in another form", "rotation", "toEntities: [kube-apiserver]", "toEntities: [all]", EVERYTHING),
    ("a policy of Cilium for other pods", "rotation", "endpointSelector:", "nodeSelector:", EVERYTHING),
    ("a kind that the chart must not have", "serviceaccount", "kind: ServiceAccount", "kind: Secret", ISSUER),
    ("a kind that the chart must not have", "rotation", "kind: Role\nmetadata", "kind: ClusterRole\nmetadata", ISSUER),
    ("a token for all its pods", "serviceaccount", "automountServiceAccountToken: false", "", ISSUER),
    ("a Service that leads to more than the public listener", "service", "targetPort: http", "targetPort: admin", ISSUER),
    ("an admin listener with an address outside", "admin", "spec:\n  selector", "spec:\n  type: NodePort\n  selector", EVERYTHING),
    ("rights that the rotation does not need", "rotation", "    resourceNames: [{{ $keys | quote }}]\n", "", ISSUER),
    ("rights that the rotation does not need", "rotation", "verbs: [get, update]", "verbs: [get, update, list]", ISSUER),
    ("a budget that keeps a sick pod on its node", "_helpers.tpl", "unhealthyPodEvictionPolicy: AlwaysAllow", "unhealthyPodEvictionPolicy: IfHealthyBudget", ISSUER),
    ("a budget that lets nobody go", "_helpers.tpl", "maxUnavailable: {{ .maxUnavailable }}", "maxUnavailable: 0", ISSUER),
    ("a host without TLS", "ingress", "  tls:\n    {{- range . }}", "  tls:\n    {{- range list }}", "tke"),
    ("a listener without TLS", "gateway", "      protocol: HTTPS", "      protocol: HTTP", GATEWAY),
    ("a Service that leads to nobody, or to others", "service", 'selector: {{- include "wxmint.selector" (list . "wxmint")', 'selector: {{- include "wxmint.selector" (list . "mint")', ISSUER),
    ("pods that no policy shuts", "rotation", "{{- if .Values.networkPolicy.enabled }}", "{{- if false }}", ISSUER),
    ("pods that no policy shuts", "networkpolicy", "matchLabels: {{- $selector | nindent 6 }}\n  policyTypes", "matchLabels: {a: b}\n  policyTypes", ISSUER),
    ("replicas that all go at once", "poddisruptionbudget", "{{- if and .Values.podDisruptionBudget.enabled", "{{- if and false", ISSUER),
    ("a rotation of keys that are not served", "rotation", "--secret=$(NAMESPACE)/{{ $keys }}", "--secret=$(NAMESPACE)/keys", ISSUER),
    ("rights for another account than the rotation's", "rotation", "    name: {{ $account | quote }}\n", "    name: wxmint\n", ISSUER),
    ("a rotation with another lead or life", "rotation", '"WXMINT_KEY_PREPUBLISH" "WXMINT_TOKEN_TTL" }}', '"WXMINT_KEY_PREPUBLISH" }}', (ISSUER, "settings.WXMINT_TOKEN_TTL=1h")),
    ("a route to no listener", "gateway", '"sectionName" $listener', '"sectionName" "http"', GATEWAY),
    ("a job that no alert asks for", "monitoring", "jobLabel: app.kubernetes.io/name", "jobLabel: app.kubernetes.io/instance", EVERYTHING),
    ("a monitor of another port", "monitoring", "  endpoints:\n    - port: admin", "  endpoints:\n    - port: http", MONITOR),
    ("Redis is open, or shut for another release", "networkpolicy", "    - from:\n        - podSelector:\n            matchLabels:\n              app.kubernetes.io/name: wxmint\n", "    - from:\n        - podSelector: {}\n", ISSUER),
]


def broken(number, template, old, new, values):
    """What a chart with a break renders, as a file of its own."""
    name = template if "." in template else f"{template}.yaml"
    chart = FOLDER / "broken"
    shutil.rmtree(chart, ignore_errors=True)
    shutil.copytree(CHART, chart, ignore=shutil.ignore_patterns("ci"))
    place = chart / "templates" / name
    text = place.read_text()
    if old not in text:
        sys.exit(f"k8s: {name} has no {old!r}: the break is out of date")
    place.write_text(text.replace(old, new))
    base, more = values if isinstance(values, tuple) else (values, "enabled=true")
    out = FOLDER / f"{base}-values.yaml"
    done = subprocess.run([HELM, "template", "wxmint", chart, "--values", CHART / f"ci/{base}-values.yaml", "--set", more], check=False, text=True, capture_output=True)
    if done.returncode:
        sys.exit(f"k8s: break {number}, {name}: {done.stderr}")
    out.write_text(done.stdout)
    return out


def noticed(*arguments):
    """The rules that a break breaks."""
    out = broken(*arguments)
    try:
        return {rule for _, rule, holds, _ in judged([out]) if not holds}
    except (KeyError, TypeError, IndexError) as error:  # what a rule reads is not there
        return {f"{type(error).__name__}: {error}"}


def main():
    """Each break, and each rule."""
    faults = []
    for number, (rule, *break_) in enumerate(BREAKS):
        seen = noticed(number, *break_)
        faults += [] if rule in seen else [f"k8s: {rule}: not noticed when {break_[0]} has {break_[2]!r}; noticed: {sorted(seen)}"]
    rules = set(re.findall(r'yield (?:f)?"([^"]+)",', Path("tests/tools/k8s_rules.py").read_text().partition("def check_monitoring")[0]))
    faults += [f"k8s: no break is planted for the rule: {rule}" for rule in sorted(rules - {rule for rule, *_ in BREAKS})]
    faults += [f"k8s: no rule is called: {rule}" for rule in sorted({rule for rule, *_ in BREAKS} - rules)]
    print(*faults or [f"k8s: {len(rules)} rules notice {len(BREAKS)} planted breaks by their names"], sep="\n")
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()

"""Checks what Prometheus and Grafana are given, and writes it down for promtool.

    k8s_monitoring.py RENDERED.yaml ALERTS_TEST.yaml FOLDER

An alert says what happened and what to do, whether somebody is woken for it or it can wait (page, ticket), and where its
section of the runbook is, and ALERTS_TEST.yaml has a test in which it fires and, in the same test, a time at which nothing
does. A panel of a dashboard has a title, a description and a link to a section of the runbook. FOLDER gets rules.yaml, the alerts as a file of
Prometheus, and panels.yaml, the panels' expressions as recording rules, for promtool to read. All of it is first spoiled,
one thing at a time, and must be refused.
"""

import copy
import json
import re
import sys
from pathlib import Path

import yaml

VARIABLES = {"$__rate_interval": "5m", "$namespace": ".*", "$peers": ".*", "$app": ".*"}
# The places of both languages' headings; tests/it/alerts.rs holds the pages against each other.
SECTIONS = {line[4:].lower() for line in Path("docs/runbook.md").read_text().splitlines() if line.startswith("### ")}
ALERT = re.compile(r'alertname="(\w+)"')


def rules_in(documents):
    """The rules of all PrometheusRules, by the name of their document."""
    for document in documents:
        if document["kind"] == "PrometheusRule":
            yield from ((document["metadata"]["name"], rule) for group in document["spec"]["groups"] for rule in group["rules"])


def dashboards_in(documents):
    """All dashboards."""
    for document in documents:
        if document["kind"] == "ConfigMap" and "grafana_dashboard" in document["metadata"].get("labels", {}):
            yield from (json.loads(text) for text in document["data"].values())


def panels_in(dashboard):
    """Its panels, without the headings."""
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def expressions_in(dashboard):
    """Those of its panels, and of what it notes in all of them."""
    yield from (target["expr"] for panel in panels_in(dashboard) for target in panel["targets"])
    yield from (annotation["expr"] for annotation in dashboard["annotations"]["list"])


def check_rules(documents):
    """What is wrong with the alerts; promtool knows their expressions."""
    for where, rule in rules_in(documents):
        said, name = rule.get("annotations", {}), rule.get("alert", "an alert")
        if not (rule.get("alert") and rule.get("expr") and rule.get("for")):
            yield f"{where}: {name} lacks alert, expr or for"
        if rule.get("labels", {}).get("severity") not in ("warning", "critical"):
            yield f"{where}: {name} has no severity"
        if rule["labels"].get("response") not in ("page", "ticket") or rule["labels"] == {"severity": "warning", "response": "page"}:
            yield f"{where}: {name} is neither for a page nor for a ticket, or wakes somebody for a warning"
        if said.get("runbook_url", "").replace(".zh-CN", "").rpartition("docs/runbook.md#")[2] != name.lower() or name.lower() not in SECTIONS:
            yield f"{where}: {name} does not lead to its section of the runbook"
        if not (said.get("summary") and said.get("description")):
            yield f"{where}: {name} does not say what happened and what to do"


def fired_in(test):
    """The alerts that a test expects to fire."""
    samples = [(case["expr"], sample) for case in test["promql_expr_test"] for sample in case["exp_samples"] if sample["value"]]
    return {name for expr, sample in samples for name in ALERT.findall(expr + sample.get("labels", ""))}


def is_silence(case):
    """No alert, or none of one name."""
    return "ALERTS" in case["expr"] and case["exp_samples"] == [{"value": 0}]


def check_tests(documents, tests):
    """Every alert is shown to fire and to be silent, and no test is of an alert that is gone."""
    tested = set().union(*(fired_in(test) for test in tests["tests"]))
    alerts = {rule.get("alert") for _, rule in rules_in(documents)}
    yield from (f"{name}: no test in which it fires" for name in alerts - tested)
    yield from (f"{name}: tested, and no alert" for name in tested - alerts)
    for test in tests["tests"]:
        if fired_in(test) and not any(is_silence(case) for case in test["promql_expr_test"]):
            yield f"{fired_in(test)}: a test in which it is never silent"


def check_dashboards(documents):
    """What is wrong with the dashboards; promtool knows their expressions."""
    dashboards = list(dashboards_in(documents))
    if not dashboards:
        yield "there is no dashboard"
    for dashboard in dashboards:
        ids = [panel["id"] for panel in dashboard["panels"]]
        if len(set(ids)) < len(ids):
            yield "two panels have one id"
        known = {variable["name"] for variable in dashboard["templating"]["list"]} | {"__rate_interval"}
        for panel in panels_in(dashboard):
            if not (panel.get("title") and panel.get("description") and panel.get("targets")):
                yield f"panel {panel['id']} lacks title, description or targets"
            leads_to = [link["url"].removeprefix("${runbook}#") for link in panel.get("links", [])]
            if not leads_to or not set(leads_to) <= SECTIONS:
                yield f"panel {panel['id']} leads to no section of the runbook"
            if panel["datasource"]["uid"] != "${datasource}":
                yield f"panel {panel['id']} has a data source of its own"
        for expr in expressions_in(dashboard):
            for name in set(re.findall(r"\$(\w+)", expr)) - known:
                yield f"${name} is no variable: {expr}"
        if not dashboard["annotations"]["list"]:
            yield "no annotation says when something was changed"


def check(documents, tests):
    """All that is wrong."""
    return [*check_rules(documents), *check_tests(documents, tests), *check_dashboards(documents)]


def spoiled(documents, tests):
    """(the fault expected, what is spoiled), for every rule."""

    def rule(expected, change):
        copies = copy.deepcopy(documents)
        change(next(rule for _, rule in rules_in(copies)))
        return expected, copies, tests

    def test(expected, change):
        copies = copy.deepcopy(tests)
        change(copies)
        return expected, documents, copies

    def dashboard(expected, change):
        copies = copy.deepcopy(documents)
        holder = next(d for d in copies if "grafana_dashboard" in d["metadata"].get("labels", {}))
        ((name, text),) = holder["data"].items()
        drawn = json.loads(text)
        change(drawn, panels_in(drawn)[0])
        holder["data"][name] = json.dumps(drawn)
        return expected, copies, tests

    for field in ("expr", "for", "alert"):
        yield rule("lacks alert, expr or for", lambda r, field=field: r.pop(field))
    yield rule("has no severity", lambda r: r["labels"].update(severity="page"))
    yield rule("neither for a page", lambda r: r["labels"].pop("response"))
    yield rule("wakes somebody", lambda r: r["labels"].update(severity="warning", response="page"))
    yield rule("section of the runbook", lambda r: r["annotations"].update(runbook_url="docs/runbook.md#another"))
    for field in ("summary", "description"):
        yield rule("what happened and what to do", lambda r, field=field: r["annotations"].pop(field))
    yield rule("in which it fires", lambda r: r.update(alert="WxmintAnother"))
    yield rule("tested, and no alert", lambda r: r.update(alert="WxmintAnother"))
    yield test("in which it fires", lambda t: t["tests"].pop())
    loud = [case for case in tests["tests"][-1]["promql_expr_test"] if not is_silence(case)]
    yield test("never silent", lambda t: t["tests"][-1].update(promql_expr_test=loud))
    yield "there is no dashboard", [d for d in documents if d["kind"] != "ConfigMap"], tests
    yield dashboard("two panels have one id", lambda d, p: p.update(id=d["panels"][-1]["id"]))
    yield dashboard("lacks title", lambda d, p: p.update(description=""))
    yield dashboard("leads to no section", lambda d, p: p.pop("links"))
    yield dashboard("leads to no section", lambda d, p: p["links"][0].update(url="${runbook}#another"))
    yield dashboard("no annotation", lambda d, p: d["annotations"]["list"].clear())
    yield dashboard("is no variable", lambda d, p: d["annotations"]["list"][0].update(expr="$job"))
    yield dashboard("source of its own", lambda d, p: p["datasource"].update(uid="x"))
    yield dashboard("is no variable", lambda d, p: p["targets"][0].update(expr="wxmint_logins_total{job=~'$job'}"))


def expressions(documents):
    """The dashboards' expressions, without Grafana's variables, as recording rules."""
    for dashboard in dashboards_in(documents):
        for number, expr in enumerate(expressions_in(dashboard)):
            for variable, value in VARIABLES.items():
                expr = expr.replace(variable, value)
            yield {"record": f"panel:{number}", "expr": expr}


def main():
    """Exits with 1 and what is wrong, or says how much is right."""
    rendered, tests_path, folder = map(Path, sys.argv[1:])
    documents = [document for document in yaml.safe_load_all(rendered.read_text()) if document]
    tests = yaml.safe_load(tests_path.read_text())

    complaints, tried = check(documents, tests), 0
    for expected, manifests, changed in spoiled(documents, tests):
        tried += 1
        noticed = check(manifests, changed)
        if not any(expected in fault for fault in noticed):
            complaints.append(f"not noticed: {expected} (noticed: {noticed})")
    groups = [group for d in documents if d["kind"] == "PrometheusRule" for group in d["spec"]["groups"]]
    (folder / "rules.yaml").write_text(yaml.safe_dump({"groups": groups}))
    panels = list(expressions(documents))
    (folder / "panels.yaml").write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": panels}]}))
    alerts = len(list(rules_in(documents)))
    print(*complaints or [f"monitoring: {alerts} alerts, {len(panels)} expressions; {tried} faults refused"], sep="\n")
    sys.exit(bool(complaints))


if __name__ == "__main__":
    main()

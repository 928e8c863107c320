"""oauth2-proxy in front of a service, as k8s/oauth2-proxy.yaml has it: a browser outside logs in with WeChat."""

import json
import re

from asked import PROGRAM, ROOT, call, elsewhere, kubectl, rolled_out, run, seconds_until, secret, service
from cluster import RUN, apply
from gateway import CLASS, INGRESS, OUTER, gateway, leads_to_wxmint
from world import APPID, HERE, HOST, ISSUER, certificate, codes, config, install, mounted, namespace

SITE = "site.example.com"
SECRETS = {"name": "clients", "projected": {"defaultMode": 0o440, "sources": [{"secret": {"name": "wxmint-clients"}}]}}
BROWSER = "203.0.113.9"


def client():
    """The site as wxmint's client, made as README.md says; its secret."""
    run("rm", "-f", RUN / "clients.json")
    said = run(PROGRAM, "clients", "add", "site", "--name=Site", f"--appid={APPID}", "--page=pages/scan/index",
               f"--redirect-uri=https://{SITE}/oauth2/callback", "--refresh=30d", "--file", RUN / "clients.json")
    secret("wxmint-clients", clients__json=(RUN / "clients.json").read_text())
    install("wxmint", "wxmint", {**INGRESS, "extraVolumes": [*HERE["extraVolumes"], SECRETS],
                                 "extraVolumeMounts": [*HERE["extraVolumeMounts"], mounted("clients", "/var/run/clients")]},
            WXMINT_CLIENTS_FILE="/var/run/clients/clients.json")
    rolled_out()
    return re.search(r"client_secret: (\S+)", said)[1]


def site():
    """Its manifest, with what this cluster has in place of names and certificates that the internet knows."""
    gateway()
    namespace("site")
    secret("oauth2-proxy", "site", client_secret=client(), cookie_secret=run("openssl", "rand", "-hex", "16").strip())
    issuers = certificate("wxmint-tls", HOST)["stringData"]["tls.crt"]
    made = json.loads(kubectl("apply", "--dry-run=client", "--output=json", "--filename", ROOT / "k8s/oauth2-proxy.yaml", namespace="site"))["items"]
    pod = next(each for each in made if each["kind"] == "Deployment")["spec"]["template"]["spec"]
    proxy, served = pod["containers"]
    proxy |= {"image": "docker.io/library/wxmint:parts", "imagePullPolicy": "Never", "command": ["oauth2-proxy"]}
    proxy["args"].append("--provider-ca-file=/etc/issuer/ca.crt")
    proxy["volumeMounts"].append(mounted("issuer", "/etc/issuer"))
    served |= {"image": "docker.io/library/wxmint:orders", "imagePullPolicy": "Never", "volumeMounts": [mounted("scratch", "/tmp")]}
    pod["volumes"] += [{"name": "issuer", "configMap": {"name": "issuer"}}, {"name": "scratch", "emptyDir": {}}]
    pod["hostAliases"] = [{"ip": service("traefik", "gateway"), "hostnames": [HOST]}]
    rule = {"host": SITE, "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "site", "port": {"number": 80}}}}]}}
    apply("site", config("issuer", ca__crt=issuers), *made,
          {"kind": "Ingress", "apiVersion": "networking.k8s.io/v1", "metadata": {"name": "site"}, "spec": {"ingressClassName": CLASS, "rules": [rule]}})
    leads_to_wxmint()
    rolled_out("site", "site")


class Browser:
    """Keeps cookies, and follows nothing by itself."""

    def __init__(self):
        self.cookies = {}

    def ask(self, method, url, body=None, **headers):
        """Status, address to go on to, content."""
        own = {"Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items())} if f"//{SITE}/" in url else {}
        status, answered, content = elsewhere("outside", "call", method, url, body, {**own, **headers}, OUTER, BROWSER)
        for each in answered.get("Set-Cookie", "").splitlines():
            name, _, value = each.partition(";")[0].partition("=")
            self.cookies[name] = value
        return status, answered.get("Location", ""), content


def a_site_behind_oauth2_proxy_logs_a_person_in():
    """It finds wxmint by its metadata, over TLS. The service learns the user, whatever the browser says, and a stranger is sent to log in."""
    site()
    browser, home = Browser(), f"https://{SITE}/orders"
    seconds_until(lambda: browser.ask("GET", home)[0] == 302, 30)
    _, to, _ = browser.ask("GET", home)
    assert to.startswith(f"{ISSUER}/authorize?"), to
    status, _, page = browser.ask("GET", to)
    assert status == 200 and "Site" in page, (status, page)
    step = lambda name, form: browser.ask("POST", to.replace("/authorize?", f"/authorize/{name}?"), form)
    _, _, shown = step("scan", "")
    approved = {"code": codes(1)[0], "appid": APPID, "match": shown["match"]}
    phone = call("POST", f"http://{service('wxmint')}/device/{shown['user_code']}/approve", approved)
    assert phone[0] == 204, phone
    status, to, _ = browser.ask("GET", step("poll", f"device_code={shown['device_code']}")[2]["location"])
    assert (status, to) == (302, "/orders"), (status, to)
    status, _, said = browser.ask("GET", home, None, **{"X-Forwarded-User": "somebody-else"})
    assert status == 200 and re.fullmatch(r"[0-9a-f-]{36}", said["user"]), (status, said)
    assert Browser().ask("GET", home, None, **{"X-Forwarded-User": said["user"]})[0] == 302
    kubectl("delete", "namespace", "site", "--wait=false")

#!/usr/bin/env python3
"""A Kubernetes of one node, out of what build.sh has made, for as long as a command runs.

    cluster.py plane|node COMMAND...

COMMAND has KUBECONFIG, and kubectl on its PATH. `plane` has no node: pods stay Pending, and all that decides about objects is
there. `node` has one, with names (CoreDNS), network policies (kube-router's), and the network namespace `outside`, whose clients
come to the node as those from the internet do. Everything is in namespaces of its own, for network, mounts and processes: it
reaches nothing, nothing reaches it, and the kernel ends all of it with this script, however that ends. Logs are in
target/cluster/run.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import zlib
from pathlib import Path

MADE = Path(__file__).resolve().parents[2] / "target/cluster"
RUN = MADE / "run"
NODE, API, SERVICES, PODS = "10.77.0.1", "https://10.77.0.1:6443", "10.96.0.0/16", "10.244.0.0/24"
DNS, DOOR, OUTSIDE = "10.96.0.10", "203.0.113.1", [f"203.0.113.{number}" for number in (7, 8, 9, 10)]  # the node, clients: as the internet has them
PATIENCE = 180  # seconds; the machine may be busy
GROUPS, GROUP = Path("/sys/fs/cgroup"), f"cluster-{zlib.crc32(bytes(MADE)):08x}"  # the pods' control groups; each checkout has its own
# Those who may come in: token, name and group, as Kubernetes' own roles know them.
ACCOUNTS = {
    "admin": ("admin", "system:masters"),
    "manager": ("system:kube-controller-manager", ""),
    "scheduler": ("system:kube-scheduler", ""),
    "kubelet": ("system:node:node", "system:nodes"),
    "proxy": ("system:kube-proxy", ""),
}
# The kubelet wants these to be so. Files lie over them, so that the machine's own stay as they are.
SYSCTLS = {"vm/overcommit_memory": 1, "vm/panic_on_oom": 0, "kernel/panic": 10, "kernel/panic_on_oops": 1,
           "kernel/keys/root_maxkeys": 1000000, "kernel/keys/root_maxbytes": 25000000}
CONTAINERD = f"""
version = 2
root = "{RUN}/containerd"
[plugins."io.containerd.grpc.v1.cri"]
restrict_oom_score_adj = true
sandbox_image = "docker.io/library/wxmint:parts"
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{MADE}/debian/usr/lib/cni"
conf_dir = "{RUN}/cni"
"""
# A pair of interfaces for each pod, and no bridge: what pods send each other is routed, so that Services hold there too.
CNI = {"cniVersion": "0.4.0", "name": "pods", "plugins": [
    {"type": "ptp", "ipMasq": False, "ipam": {"type": "host-local", "subnet": PODS, "dataDir": f"{RUN}/ipam",
                                              "routes": [{"dst": "0.0.0.0/0"}]}},
    {"type": "portmap", "capabilities": {"portMappings": True}}]}
KUBELET = {
    "kind": "KubeletConfiguration", "apiVersion": "kubelet.config.k8s.io/v1beta1",
    "authentication": {"anonymous": {"enabled": False}, "x509": {"clientCAFile": f"{RUN}/ca.crt"}},
    "cgroupDriver": "cgroupfs", "cgroupRoot": f"/{GROUP}", "failCgroupV1": False, "failSwapOn": False,
    "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
    "clusterDNS": [DNS], "clusterDomain": "cluster.local", "resolvConf": "", "podLogsDir": f"{RUN}/pods",
    "evictionHard": {"memory.available": "100Mi"}, "imageGCHighThresholdPercent": 100,
    # A mounted Secret that changes is in its pods within 8 s, in place of a minute and a half. The logs of a load are not cut.
    "syncFrequency": "5s", "containerLogMaxSize": "500Mi",
}
CALLED_DNS = {"k8s-app": "kube-dns"}
LOOKS = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"}
NAMES = [
    {"kind": "ServiceAccount", "apiVersion": "v1", "metadata": {"name": "coredns"}},
    {"kind": "ClusterRoleBinding", "apiVersion": "rbac.authorization.k8s.io/v1", "metadata": {"name": "coredns"}, "roleRef": LOOKS,
     "subjects": [{"kind": "ServiceAccount", "name": "coredns", "namespace": "kube-system"}]},
    {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "coredns"},
     "data": {"Corefile": ".:53 {\n  errors\n  kubernetes cluster.local\n}\n"}},
    {"kind": "Service", "apiVersion": "v1", "metadata": {"name": "kube-dns"},
     "spec": {"clusterIP": DNS, "selector": CALLED_DNS, "ports": [{"name": name, "port": 53, "protocol": name.upper()} for name in ("udp", "tcp")]}},
    {"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "coredns", "labels": CALLED_DNS},
     "spec": {"serviceAccountName": "coredns", "dnsPolicy": "Default", "volumes": [{"name": "corefile", "configMap": {"name": "coredns"}}],
              "containers": [{"name": "coredns", "image": "docker.io/library/wxmint:parts", "imagePullPolicy": "Never",
                              "command": ["coredns", "-conf", "/etc/coredns/Corefile"], "securityContext": {"runAsUser": 0},
                              "volumeMounts": [{"name": "corefile", "mountPath": "/etc/coredns"}]}]}},
]


def run(*words, **options):
    """A command that must succeed; what it says."""
    return subprocess.run([str(word) for word in words], check=True, text=True, stdout=subprocess.PIPE, **options).stdout


def start(program, *options):
    """A program of the cluster, with its log."""
    with (RUN / f"{program}.log").open("w") as log:
        return subprocess.Popen([program, *map(str, options)], stdout=log, stderr=log, stdin=subprocess.DEVNULL)


def apply(namespace, *objects):
    """Makes objects, or changes them."""
    items = json.dumps({"kind": "List", "apiVersion": "v1", "items": objects})
    return run("kubectl", "apply", f"--namespace={namespace}", "--filename=-", input=items)


def until(what, holds):
    """Waits for a condition."""
    deadline = time.monotonic() + PATIENCE
    while not holds():
        if time.monotonic() > deadline:
            sys.exit(f"cluster: not within {PATIENCE} s: {what}; see {RUN}")
        time.sleep(0.1)


def succeeds(*words):
    """Whether a command does."""
    return subprocess.run(words, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0


def kubeconfig(name, token):
    """The file with which somebody talks to the API server."""
    cluster = {"server": API, "certificate-authority": f"{RUN}/pki/apiserver.crt"}
    content = {"kind": "Config", "apiVersion": "v1", "current-context": name, "users": [{"name": name, "user": {"token": token}}],
               "clusters": [{"name": name, "cluster": cluster}],
               "contexts": [{"name": name, "context": {"cluster": name, "user": name}}]}
    (RUN / f"{name}.conf").write_text(json.dumps(content))
    return RUN / f"{name}.conf"


def prepare():
    """The network, files over what belongs to the machine, and secrets."""
    links = ("link set lo up", "link add node type veth peer name far", "link set far up", f"addr add {NODE}/24 dev node")
    for words in (*links, "link set node up", "route add default dev node"):
        run("ip", *words.split())
    for place in ("/run", "/var/log"):
        run("mount", "-t", "tmpfs", "tmpfs", place)
    for words in ("netns add outside", "link add door type veth peer name street netns outside", f"addr add {DOOR}/24 dev door", "link set door up",
                  *(f"-n outside addr add {address}/24 dev street" for address in OUTSIDE), "-n outside link set street up"):
        run("ip", *words.split())
    for name, value in SYSCTLS.items():
        (RUN / name.replace("/", ".")).write_text(f"{value}\n")
        run("mount", "--bind", RUN / name.replace("/", "."), f"/proc/sys/{name}")
    openssl = {"stderr": subprocess.DEVNULL, "cwd": RUN}
    run("openssl", "genrsa", "-out", "accounts.key", "2048", **openssl)
    run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/O=system:masters/CN=api-server", "-keyout", "ca.key",
        "-out", "ca.crt", **openssl)
    (RUN / "tokens").write_text("".join(f'{token},{name},{token},"{group}"\n' for token, (name, group) in ACCOUNTS.items()))
    for token in ACCOUNTS:
        kubeconfig(token, token)


def start_plane():
    """All that decides about objects."""
    start("etcd", "--data-dir", RUN / "etcd", "--unsafe-no-fsync")
    start("kube-apiserver", "--etcd-servers=http://127.0.0.1:2379", f"--advertise-address={NODE}", f"--cert-dir={RUN}/pki",
          f"--service-cluster-ip-range={SERVICES}", "--allow-privileged", f"--token-auth-file={RUN}/tokens", "--authorization-mode=Node,RBAC",
          "--enable-admission-plugins=NodeRestriction", "--kubelet-preferred-address-types=InternalIP", "--service-account-issuer=https://kubernetes.default.svc",
          f"--service-account-key-file={RUN}/accounts.key", f"--service-account-signing-key-file={RUN}/accounts.key",
          f"--kubelet-client-certificate={RUN}/ca.crt", f"--kubelet-client-key={RUN}/ca.key")
    until("the API server is ready", lambda: succeeds("kubectl", "get", "--raw", "/readyz"))
    start("kube-controller-manager", f"--kubeconfig={RUN}/manager.conf", "--leader-elect=false", "--use-service-account-credentials",
          f"--service-account-private-key-file={RUN}/accounts.key", f"--root-ca-file={RUN}/pki/apiserver.crt")
    start("kube-scheduler", f"--kubeconfig={RUN}/scheduler.conf", "--leader-elect=false")
    account = ("kubectl", "get", "serviceaccount", "default", "--namespace=default")
    until("namespaces have accounts", lambda: succeeds(*account))


def start_node():
    """All that runs pods."""
    (RUN / "cni").mkdir()
    (RUN / "cni/pods.conflist").write_text(json.dumps(CNI))
    (RUN / "containerd.toml").write_text(CONTAINERD)
    (RUN / "kubelet.json").write_text(json.dumps(KUBELET))
    for controller in GROUPS.glob("*/"):
        (controller / GROUP).mkdir(exist_ok=True)
    (GROUPS / "cpu" / GROUP / "cpu.shares").write_text("4096")  # all pods together weigh as much as four processes of the machine
    start("containerd", "--config", RUN / "containerd.toml")
    until("containerd answers", lambda: succeeds("ctr", "version"))
    for image in sorted((MADE / "images").glob("*.tar")):
        run("ctr", "--namespace=k8s.io", "images", "import", image)
    start("kubelet", f"--config={RUN}/kubelet.json", f"--kubeconfig={RUN}/kubelet.conf", f"--root-dir={RUN}/kubelet",
          f"--node-ip={NODE}", "--hostname-override=node")
    start("kube-proxy", f"--kubeconfig={RUN}/proxy.conf", "--hostname-override=node", f"--cluster-cidr={PODS}",
          "--conntrack-max-per-core=0", "--conntrack-tcp-timeout-established=0s", "--conntrack-tcp-timeout-close-wait=0s")
    ready = ("kubectl", "wait", "node/node", "--for=condition=Ready", "--timeout=1s")
    until("the node is ready", lambda: succeeds(*ready))
    start("policies", RUN / "admin.conf", "node", SERVICES)
    apply("kube-system", *NAMES)
    named = ("kubectl", "wait", "pod/coredns", "--namespace=kube-system", "--for=condition=Ready", "--timeout=1s")
    until("names are known", lambda: succeeds(*named))


def clean():
    """What the kernel leaves when all processes have ended: the control groups, each of which goes when it is empty."""
    for group in sorted(GROUPS.glob(f"*/{GROUP}/**/"), reverse=True):
        until(f"{group} is empty", lambda group=group: succeeds("rmdir", group))


def main():
    """As process 1 of the namespaces, which unshare has made."""
    part, *command = sys.argv[1:]
    if os.getpid() != 1:
        watched, alive = os.pipe()
        if not os.fork():  # a process that outlives this one, whatever ends it
            os.setsid()
            os.close(alive)
            os.read(watched, 1)
            clean()
            os._exit(0)
        unshare = "setpriv --pdeathsig KILL unshare --net --mount --pid --fork --mount-proc --kill-child".split()
        ended = subprocess.Popen([*unshare, sys.executable, *sys.argv])
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # process 1 gets it too, and ends by it
        signal.signal(signal.SIGTERM, lambda *_: ended.kill())
        code = ended.wait()
        os.close(alive)
        os.wait()
        sys.exit(code)
    for sent in (signal.SIGINT, signal.SIGTERM):
        signal.signal(sent, lambda *_: sys.exit(130))
    began = time.monotonic()
    shutil.rmtree(RUN, ignore_errors=True)
    RUN.mkdir(parents=True)
    os.environ["KUBECONFIG"] = f"{RUN}/admin.conf"
    os.environ["PATH"] = f"{MADE}/bin:{MADE}/debian/usr/bin:{MADE}/debian/usr/sbin:{os.environ['PATH']}"
    os.environ["LD_LIBRARY_PATH"] = ":".join(map(str, (MADE / "debian/usr/lib").glob("*-linux-gnu")))  # ipset's
    prepare()
    start_plane()
    if part == "node":
        start_node()
    print(f"cluster: the {part} is ready after {time.monotonic() - began:.0f} s", flush=True)
    code = subprocess.run(command, check=False).returncode
    sys.exit(code)


if __name__ == "__main__":
    main()

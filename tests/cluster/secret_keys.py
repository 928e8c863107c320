"""`wxmint keys` on a Secret, as somebody with all rights runs it, or with too few. Nothing here needs a node."""

import json

from asked import PROGRAM, get, key_ids, kubectl, namespaced, new_keys, refused, run, secret
from cluster import API, RUN, kubeconfig

SECRET = "--secret=wxmint/wxmint-keys"
STRANGE = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
MAKE = "wxmint keys generate --secret wxmint/wxmint-keys"
EACH = (["list"], ["jwks"], ["rotate"], ["retire", "x", "--now", "--yes"])


def keys(command, *options, place=SECRET):
    """What a command says; it must succeed."""
    return run(PROGRAM, "keys", command, place, *options)


def fails(said, command, *options, config=RUN / "admin.conf", place=SECRET):
    """A command that must not succeed, and says this."""
    refused(said, PROGRAM, "keys", command, place, *options, env={"KUBECONFIG": str(config), "HOME": str(RUN)})


def version():
    """It changes with each write."""
    return get("secret/wxmint-keys")["metadata"]["resourceVersion"]


def every_command_works_on_a_secret_and_writes_only_what_it_has_changed():
    """And what else the Secret holds stays."""
    namespaced()
    kubectl("delete", "secret", "wxmint-keys", "--ignore-not-found")
    secret("wxmint-keys", other="left alone")
    kubectl("label", "secret/wxmint-keys", "team=login")
    before = get("secret/wxmint-keys")
    keys("generate")
    read = version()
    assert json.loads(keys("list", "--json"))[0]["state"] == "signing" and keys("list")
    fails("has a field keys.json already", "generate")
    assert "nothing to do" in keys("rotate") and keys("rotate", "--alg=EdDSA", "--dry-run")
    assert version() == read
    keys("rotate", "--alg=EdDSA")
    two = key_ids()
    assert len(two) == 2 and len(json.loads(keys("jwks"))["keys"]) == 2
    keys("retire", two[0], "--now", "--yes")
    assert key_ids() == two[1:]
    keys("retire", STRANGE, "--now", "--yes")
    fails("add --yes", "generate", "--replace")
    keys("generate", "--replace", "--yes")
    listed = keys("list")
    assert len(key_ids()) == 1 and all(f"{kid}  revoked" in listed for kid in (*two, STRANGE)), listed
    after = get("secret/wxmint-keys")
    assert (after["data"]["other"], after["metadata"]["labels"]) == (before["data"]["other"], before["metadata"]["labels"])


def a_right_that_is_missing_is_named_before_any_key_changes():
    """By the words of the API server."""
    new_keys()
    kubectl("create", "serviceaccount", "clerk")
    clerk = kubeconfig("clerk", kubectl("create", "token", "clerk").strip())
    before = version()

    for command in (*EACH, ["generate"]):
        fails("refused to get it (403)", *command, config=clerk)
    kubectl("create", "role", "reads", "--verb=get", "--resource=secrets")
    kubectl("create", "rolebinding", "reads", "--role=reads", "--serviceaccount=wxmint:clerk")
    fails("cannot update resource", "rotate", "--now", config=clerk)
    fails("refused to create it (403)", "generate", config=clerk, place="--secret=wxmint/another")
    assert version() == before


def what_is_missing_is_named_with_what_makes_it():
    """Secret, field, namespace, name, and the cluster itself."""
    namespaced()
    kubectl("delete", "secret", "wxmint-keys", "--ignore-not-found")
    for command in EACH:
        fails(MAKE, *command)
    secret("wxmint-keys", other="x")
    fails("has no field keys.json", "rotate")
    fails("(404)", "generate", place="--secret=elsewhere/keys")
    for name in ("wxmint-keys", "wxmint/", "/x", "wxmint/../x"):
        fails("NAMESPACE/NAME", "list", place=f"--secret={name}")
    new_keys()
    nobody, config = kubeconfig("nobody", "an old token"), RUN / "spoiled.conf"
    fails("refused to get it (401)", "rotate", config=nobody)
    config.write_text(nobody.read_text().replace(API, "https://127.0.0.1:1"))
    fails("gave no answer", "rotate", config=config)
    for content in ("clusters: [", None):
        config.unlink() if content is None else config.write_text(content)
        fails("no cluster is configured", "rotate", config=config)

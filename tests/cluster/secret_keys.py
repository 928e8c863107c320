"""`wxmint keys` on a Secret and a ConfigMap, as somebody with all rights runs it, or with too few. Nothing here needs a node."""

import json

from asked import PROGRAM, get, key_ids, kubectl, new_keys, refused, run, secret
from cluster import API, RUN, kubeconfig
from rights import between, rotate

SECRET, PUBLISH = "--secret=wxmint/wxmint-keys", "--publish-configmap=wxmint/wxmint-jwks"
STRANGE = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
MAKE = "wxmint keys generate --secret wxmint/wxmint-keys"
EACH = (["list"], ["jwks"], ["rotate"], ["retire", "x", "--now", "--yes"])


def keys(command, *options, place=SECRET):
    """What a command says; it must succeed."""
    return run(PROGRAM, "keys", command, place, *options)


def fails(said, command, *options, config=RUN / "admin.conf", place=SECRET):
    """A command that must not succeed, and says this."""
    refused(said, PROGRAM, "keys", command, place, *options, env={"KUBECONFIG": str(config), "HOME": str(RUN)})


def version(thing="secret/wxmint-keys"):
    """It changes with each write."""
    return get(thing)["metadata"]["resourceVersion"]


def every_command_works_on_a_secret_and_writes_only_what_it_has_changed():
    """And what else the Secret holds stays."""
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
    keys("generate", place=f"--keys={RUN}/elsewhere.json")
    keys("import", "--lead=2h", RUN / "elsewhere.json")
    three = key_ids()[0]
    assert len(three) == 3 and len(json.loads(keys("jwks"))["keys"]) == 3
    keys("retire", three[0], "--now", "--yes")
    assert key_ids()[0] == three[1:]
    keys("retire", STRANGE, "--now", "--yes")
    fails("add --yes", "generate", "--replace")
    keys("generate", "--replace", "--yes")
    listed = keys("list")
    assert len(key_ids()[0]) == 1 and all(f"{kid}  ended" in listed for kid in (*three, STRANGE)), listed
    after = get("secret/wxmint-keys")
    assert (after["data"]["other"], after["metadata"]["labels"]) == (before["data"]["other"], before["metadata"]["labels"])


def a_right_that_is_missing_is_named_before_any_key_changes_or_the_next_run_mends_it():
    """By the words of the API server."""
    new_keys()
    kubectl("delete", "configmap", "wxmint-jwks", "--ignore-not-found")
    kubectl("create", "serviceaccount", "clerk")
    clerk = kubeconfig("clerk", kubectl("create", "token", "clerk").strip())
    before = version()

    def may(verb, resource):
        kubectl("create", "role", f"{verb}-{resource}", f"--verb={verb}", f"--resource={resource}")
        kubectl("create", "rolebinding", f"{verb}-{resource}", f"--role={verb}-{resource}", "--serviceaccount=wxmint:clerk")

    for command in (*EACH, ["generate"]):
        fails("refused to get it (403)", *command, config=clerk)
    may("get", "secrets")
    fails("cannot update resource", "rotate", "--now", config=clerk)
    fails("refused to create it (403)", "generate", config=clerk, place="--secret=wxmint/another")
    may("update", "secrets")
    fails("cannot get resource", "rotate", "--now", PUBLISH, config=clerk)
    assert version() == before
    may("get", "configmaps")
    fails("refused to create it (403)", "rotate", "--now", PUBLISH, config=clerk)
    assert version() != before and len(key_ids_of_secret()) == 2, "the keys have changed"
    keys("rotate", PUBLISH)
    assert sorted(key_ids()[1]) == sorted(key_ids()[0])


def key_ids_of_secret():
    """Where there is no public set yet."""
    return [key["kid"] for key in json.loads(keys("jwks"))["keys"]]


def what_is_missing_is_named_with_what_makes_it():
    """Secret, field, namespace, name, and the cluster itself."""
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
    file = RUN / "untouched.json"
    for content in ("clusters: [", None):
        config.unlink() if content is None else config.write_text(content)
        fails("no cluster is configured", "rotate", config=config)
    file.touch(0o600)
    fails("no cluster is configured", "rotate", PUBLISH, config=config, place=f"--keys={file}")
    assert file.read_text() == ""


def the_public_set_follows_and_an_older_one_never_replaces_a_newer_one():
    """Without a step too, and a key that is retired at once leaves at once."""
    new_keys()
    keys("rotate", PUBLISH)
    assert key_ids()[1] == key_ids()[0]
    keys("rotate", "--now", "--dry-run", PUBLISH)
    assert len(key_ids()[1]) == 1
    keys("rotate", "--now", PUBLISH)
    secret_ids, public = key_ids()
    assert sorted(public) == sorted(secret_ids) and len(public) == 2
    read = version("configmap/wxmint-jwks")
    assert "jwks.json is up to date" in keys("rotate", PUBLISH) and version("configmap/wxmint-jwks") == read
    assert '"d"' not in get("configmap/wxmint-jwks")["data"]["jwks.json"], "a private part is published"
    keys("retire", secret_ids[0], "--now", "--yes", PUBLISH)
    assert secret_ids[0] not in key_ids()[1]
    keys("generate", place=f"--keys={RUN}/published.json")
    keys("rotate", PUBLISH, place=f"--keys={RUN}/published.json")
    assert key_ids()[1][0] in keys("jwks", place=f"--keys={RUN}/published.json")
    # While the slow one is about to publish what it has read, a quick one rotates and publishes.
    new_keys()
    with between(lambda number: number == 0 and keys("rotate", "--now", PUBLISH)) as (config, written):
        process = rotate(config)
        said = process.communicate()[0]
    secret_ids, public = key_ids()
    assert process.returncode == 0 and written[0] == 409 and sorted(public) == sorted(secret_ids) and len(public) == 2, (said, written)

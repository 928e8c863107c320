//! `wxmint keys --secret`, against a stand-in for the API server.

use std::fs;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::support::{Cluster, Ended, write_private};

const SECRET: &str = "wxmint/wxmint-keys";
const CONFIGMAP: &str = "wxmint/wxmint-jwks";
const SECRET_PATH: &str = "secrets/wxmint-keys";
const CONFIGMAP_PATH: &str = "configmaps/wxmint-jwks";

fn with_keys(cluster: Cluster) -> Cluster {
    cluster.keys(&["generate", "--secret", SECRET]).expect_success();
    cluster.log();
    cluster
}

fn stored(cluster: &Cluster) -> Vec<Value> {
    cluster.secret_field("wxmint-keys", "keys.json")["keys"].as_array().expect("keys").clone()
}

fn kids(keys: &[Value]) -> Vec<String> {
    keys.iter().map(|key| key["kid"].as_str().expect("a kid").to_owned()).collect()
}

/// Publishes a next key whenever it is run on a set whose last key is of another algorithm.
fn rotate(cluster: &Cluster, more: &[&str]) -> Ended {
    cluster.keys(&[&["rotate", "--secret", SECRET, "--alg", "EdDSA"], more].concat())
}

#[test]
fn every_command_works_on_a_secret() {
    let cluster = &Cluster::start();
    let said = cluster.keys(&["generate", "--secret", SECRET]).expect_success();
    assert!(said.stdout.contains("secret wxmint/wxmint-keys"), "{said:?}");
    assert_eq!(cluster.log(), ["get secrets 404", "create secrets 200"]);

    let listed = cluster.keys(&["list", "--secret", SECRET, "--json"]).expect_success();
    let listed: Value = serde_json::from_str(&listed.stdout).expect("JSON");
    assert_eq!((&listed[0]["state"], &listed[0]["alg"]), (&json!("signing"), &json!("ES256")));
    cluster.keys(&["list", "--secret", SECRET]).expect_success();

    cluster.keys(&["generate", "--secret", SECRET]).expect_failure(&[SECRET, "keys.json", "already"]);
    cluster.log();
    let nothing = cluster.keys(&["rotate", "--secret", SECRET]).expect_success();
    assert!(nothing.stdout.contains("nothing to do"), "{nothing:?}");
    assert_eq!(cluster.log(), ["get secrets 200"]);

    rotate(cluster, &["--dry-run"]).expect_success();
    assert_eq!(cluster.log(), ["get secrets 200"], "a dry run writes nothing");
    rotate(cluster, &[]).expect_success();
    assert_eq!(cluster.log(), ["get secrets 200", "update secrets 200"]);
    assert_eq!(stored(cluster).len(), 2);

    let elsewhere = cluster.path("elsewhere.json");
    cluster.keys(&["generate", "--keys", &elsewhere]).expect_success();
    cluster.keys(&["import", "--secret", SECRET, "--lead", "2h", &elsewhere]).expect_success();
    let all = kids(&stored(cluster));
    assert_eq!(all.len(), 3);

    let jwks = cluster.keys(&["jwks", "--secret", SECRET]).expect_success();
    let jwks: Value = serde_json::from_str(&jwks.stdout).expect("JSON");
    assert_eq!(jwks["keys"].as_array().expect("keys").len(), 3);

    cluster.keys(&["retire", "--secret", SECRET, &all[0], "--now", "--yes"]).expect_success();
    assert!(!kids(&stored(cluster)).contains(&all[0]));
    // One that the Secret does not have, and then all.
    let foreign = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k";
    let said = cluster.keys(&["retire", "--secret", SECRET, foreign, "--now", "--yes"]).expect_success();
    assert!(said.stderr.contains(&format!("does not have {foreign}")), "{said:?}");
    cluster.keys(&["generate", "--replace", "--secret", SECRET]).expect_end(64, &["add --yes"]);
    cluster.keys(&["generate", "--replace", "--yes", "--secret", SECRET]).expect_success();
    let ended = cluster.secret_field("wxmint-keys", "keys.json")["ended"].as_array().expect("ends").clone();
    let ended = kids(&ended);
    assert_eq!(ended[..2], [all[0].as_str(), foreign]);
    assert!(all.iter().all(|kid| ended.contains(kid)) && stored(cluster).len() == 1, "{ended:?}");
    assert_eq!(cluster.keys(&["rotate", "--now", "--secret", SECRET]).expect_success().stdout.lines().count(), 3);
    assert_eq!(stored(cluster).len(), 2);
}

#[test]
fn what_else_the_secret_holds_stays() {
    let cluster = Cluster::start();
    let other = json!({
        "apiVersion": "v1", "kind": "Secret", "type": "Opaque",
        "metadata": {"name": "wxmint-keys", "labels": {"team": "login"}, "annotations": {"a": "b"}},
        "data": {"other": STANDARD.encode("left alone")},
    });
    cluster.objects().put(SECRET_PATH, other.clone());
    cluster.keys(&["generate", "--secret", SECRET]).expect_success();
    rotate(&cluster, &[]).expect_success();
    let now = cluster.object(SECRET_PATH);
    assert_eq!(now["data"]["other"], other["data"]["other"]);
    assert_eq!(now["metadata"]["labels"], other["metadata"]["labels"]);
    assert_eq!(now["metadata"]["annotations"], other["metadata"]["annotations"]);
    assert_eq!(stored(&cluster).len(), 2);
}

#[test]
fn a_change_in_the_middle_is_kept_and_the_step_decided_anew() {
    let cluster = with_keys(Cluster::start());
    cluster.before_next_write(|objects| objects.touch(SECRET_PATH, "changed-by"));
    rotate(&cluster, &[]).expect_success();
    assert_eq!(cluster.object(SECRET_PATH)["metadata"]["labels"]["changed-by"], "somebody-else");
    assert_eq!(stored(&cluster).len(), 2);
    let log = ["get secrets 200", "update secrets 409", "get secrets 200", "update secrets 200"];
    assert_eq!(cluster.log(), log);
}

#[test]
fn who_always_loses_gives_up_and_says_so() {
    let cluster = with_keys(Cluster::start());
    cluster.before_writes(|objects| objects.touch(SECRET_PATH, "changed-by"));
    let before = stored(&cluster);
    rotate(&cluster, &[]).expect_failure(&[SECRET, "somebody else", "nothing was written"]);
    assert_eq!(stored(&cluster), before);
    assert_eq!(cluster.log().iter().filter(|line| *line == "update secrets 409").count(), 5);
}

#[test]
fn a_right_that_is_missing_is_named() {
    let cluster = Cluster::start();
    cluster.deny("create", "secrets");
    let said = cluster.keys(&["generate", "--secret", SECRET]);
    said.expect_failure(&[SECRET, "refused to create it (403)", "cannot create resource"]);
    cluster.allow_all();

    let cluster = with_keys(cluster);
    let before = cluster.object(SECRET_PATH);
    cluster.deny("update", "secrets");
    rotate(&cluster, &[]).expect_failure(&[SECRET, "refused to update it (403)", "cannot update resource"]);
    cluster.deny("get", "secrets");
    for command in [&["list"][..], &["jwks"], &["rotate"], &["generate"], &["retire", "x", "--now", "--yes"]] {
        cluster
            .keys(&[command, &["--secret", SECRET]].concat())
            .expect_failure(&["refused to get it (403)", "cannot get resource"]);
    }
    assert_eq!(cluster.object(SECRET_PATH), before);
}

#[test]
fn what_is_missing_is_named_with_what_makes_it() {
    let cluster = Cluster::start();
    let make = "wxmint keys generate --secret wxmint/wxmint-keys";
    for command in [&["list"][..], &["jwks"], &["rotate"], &["retire", "x", "--now", "--yes"]] {
        cluster.keys(&[command, &["--secret", SECRET]].concat()).expect_failure(&["is not there", make]);
    }
    cluster.objects().put(SECRET_PATH, json!({"metadata": {"name": "wxmint-keys"}, "data": {"other": "eA=="}}));
    rotate(&cluster, &[]).expect_failure(&["no field keys.json", make]);
    cluster.keys(&["generate", "--secret", "elsewhere/keys"]).expect_failure(&["(404)", "elsewhere"]);
    for name in ["wxmint-keys", "wxmint/", "/x", "wxmint/../x"] {
        cluster.keys(&["list", "--secret", name]).expect_end(64, &["NAMESPACE/NAME"]);
    }
}

#[test]
fn a_cluster_out_of_reach_is_told_from_one_that_is_not_configured() {
    let cluster = with_keys(Cluster::start());
    cluster.write_kubeconfig("an-old-token");
    rotate(&cluster, &[]).expect_failure(&["refused to get it (401)"]);

    let kubeconfig = fs::read_to_string(cluster.path("kubeconfig")).expect("a file");
    let nobody = kubeconfig.replace(&cluster.address(), "127.0.0.1:1");
    fs::write(cluster.path("kubeconfig"), nobody).expect("written");
    rotate(&cluster, &[]).expect_failure(&["gave no answer", "refused"]);

    fs::write(cluster.path("kubeconfig"), "clusters: [").expect("written");
    rotate(&cluster, &[]).expect_failure(&["no cluster is configured", "YAML"]);
    fs::remove_file(cluster.path("kubeconfig")).expect("removed");
    rotate(&cluster, &[]).expect_failure(&["no cluster is configured", "KUBECONFIG", "automountServiceAccountToken"]);
    // A file is not touched, either.
    let keys = cluster.path("keys.json");
    write_private(keys.as_ref(), "");
    let said = cluster.keys(&["rotate", "--keys", &keys, "--publish-configmap", CONFIGMAP]);
    said.expect_failure(&["no cluster is configured"]);
    assert_eq!(fs::read(&keys).expect("there"), b"");
}

#[test]
fn the_public_set_follows_into_a_configmap() {
    let cluster = with_keys(Cluster::start());
    let publish = &["--publish-configmap", CONFIGMAP][..];
    let held = || {
        let map = cluster.object(CONFIGMAP_PATH);
        let text = map["data"]["jwks.json"].as_str().expect("a field").to_owned();
        assert!(!text.contains("\"d\""), "a private part is published: {text}");
        let set: Value = serde_json::from_str(&text).expect("JSON");
        kids(set["keys"].as_array().expect("keys"))
    };

    cluster.keys(&[&["rotate", "--secret", SECRET], publish].concat()).expect_success();
    assert_eq!(held(), kids(&stored(&cluster)), "a first time, without a step");
    rotate(&cluster, &[publish, &["--dry-run"]].concat()).expect_success();
    assert_eq!(held().len(), 1);
    rotate(&cluster, publish).expect_success();
    assert_eq!(held(), kids(&stored(&cluster)), "with a step");

    cluster.log();
    let again = rotate(&cluster, publish).expect_success();
    assert!(again.stdout.contains("configmap wxmint/wxmint-jwks: jwks.json is up to date"), "{again:?}");
    assert!(cluster.log().iter().all(|line| line.starts_with("get")), "nothing to write");

    let signing = held()[0].clone();
    cluster.keys(&[&["retire", &signing, "--now", "--yes", "--secret", SECRET], publish].concat()).expect_success();
    assert!(!held().contains(&signing), "a retired key leaves at once");
}

/// It is noticed before any key changes, or else mended by the next run.
#[test]
fn a_configmap_that_may_not_be_read_or_written_fails_the_run() {
    let (cluster, publish) = (with_keys(Cluster::start()), &["--publish-configmap", CONFIGMAP][..]);
    let before = cluster.object(SECRET_PATH);
    cluster.deny("get", "configmaps");
    rotate(&cluster, publish).expect_failure(&[CONFIGMAP, "refused to get it (403)", "cannot get resource"]);
    assert_eq!(cluster.object(SECRET_PATH), before);
    cluster.allow_all();
    cluster.deny("create", "configmaps");
    rotate(&cluster, publish).expect_failure(&[CONFIGMAP, "refused to create it (403)"]);
    assert_eq!(stored(&cluster).len(), 2, "the keys have changed");
    cluster.allow_all();
    rotate(&cluster, publish).expect_success();
    assert!(cluster.object(CONFIGMAP_PATH)["data"]["jwks.json"].is_string());

    let file = cluster.path("keys.json");
    cluster.keys(&["generate", "--keys", &file]).expect_success();
    cluster.keys(&[&["rotate", "--keys", &file], publish].concat()).expect_success();
    let jwks = cluster.keys(&["jwks", "--keys", &file]).expect_success().stdout;
    let published = cluster.object(CONFIGMAP_PATH)["data"]["jwks.json"].as_str().expect("a field").to_owned();
    assert!(jwks.contains(
        &kids(serde_json::from_str::<Value>(&published).expect("JSON")["keys"].as_array().expect("keys"))[0]
    ));
}

#[test]
fn an_older_public_set_never_replaces_a_newer_one() {
    let cluster = with_keys(Cluster::start());
    let publish = &["--publish-configmap", CONFIGMAP][..];
    cluster.keys(&[&["rotate", "--secret", SECRET], publish].concat()).expect_success();
    // While the slow one is about to publish what it has read, a quick one rotates and publishes.
    let stale = cluster.object(CONFIGMAP_PATH);
    rotate(&cluster, publish).expect_success();
    let (newer, fresh) = (cluster.object(SECRET_PATH), cluster.object(CONFIGMAP_PATH));

    let first = stored(&cluster)[0].clone();
    let content = STANDARD.encode(json!({"keys": [first]}).to_string());
    let mut old = newer.clone();
    old["data"]["keys.json"] = json!(content);
    let mut emptied = stale;
    emptied["data"] = json!({});
    cluster.objects().put(SECRET_PATH, old);
    cluster.objects().put(CONFIGMAP_PATH, emptied);
    let jwks = fresh["data"]["jwks.json"].clone();
    cluster.before_next_write(move |objects| {
        objects.put(SECRET_PATH, newer);
        objects.put(CONFIGMAP_PATH, fresh);
    });
    cluster.keys(&[&["rotate", "--secret", SECRET], publish].concat()).expect_success();
    assert_eq!(cluster.object(CONFIGMAP_PATH)["data"]["jwks.json"], jwks);
}

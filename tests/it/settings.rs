//! Mistakes in the settings: all named at once, with what to do, and no secret repeated.

use std::{
    fs::{self, Permissions},
    net::TcpListener,
    os::unix::fs::PermissionsExt,
};

use serde_json::{Value, json};

use crate::support::{Configuration, TestBed};

#[tokio::test]
async fn all_mistakes_are_reported_in_one_run() {
    let mut configuration = Configuration::new("ES256");
    let mistakes = [
        ("WXMINT_ISSUER", "http://login.example.com"),
        ("WXMINT_APPID", ""),
        ("WXMINT_TOKEN_TTL", "soon"),
        ("WXMINT_ADMIN_LISTEN", "9090"),
    ];
    for (name, value) in mistakes {
        configuration.set(name, value);
    }
    let outcome = configuration.refused().await;
    for (name, _) in mistakes {
        assert!(outcome.contains(&format!("{name} is not")), "{name}: {outcome}");
    }
}

#[tokio::test]
async fn a_key_file_that_others_can_read_is_refused_with_the_command_that_mends_it() {
    for name in ["WXMINT_KEYS", "WXMINT_VAULT_KEY_FILE"] {
        let configuration = Configuration::new("ES256");
        let path = configuration.value(name);
        fs::set_permissions(path, Permissions::from_mode(0o644)).expect("our file");
        let outcome = configuration.refused().await;
        assert!(outcome.contains(&format!("chmod 600 {path}")), "{outcome}");
    }
}

#[tokio::test]
async fn what_is_accepted_and_unlikely_to_be_meant_is_warned_about() {
    let bed = TestBed::builder()
        .env("WXMINT_APPID", "foo")
        .env("WXMINT_KEYS_LEAD", "5s")
        .env("RUST_LOG", "warning")
        .not_ready();
    let bed = bed.start().await;
    let warnings: Vec<_> = bed.service().events().into_iter().filter(|event| event["level"] == "WARN").collect();
    for (member, value, sentence) in [
        ("appid", json!("foo"), "this AppID does not look like WeChat's"),
        (
            "variable",
            Value::Null,
            "WXMINT_KEYS_LEAD: with a lead of 5 s, verifiers that fetch keys less often refuse new",
        ),
        ("variable", json!("RUST_LOG"), "not understood, so that the level is info"),
    ] {
        let is_it = |event: &Value| {
            event[member] == value && event["message"].as_str().is_some_and(|message| message.contains(sentence))
        };
        assert_eq!(warnings.iter().filter(|event| is_it(event)).count(), 1, "{value}: {warnings:?}");
    }
}

#[tokio::test]
async fn a_port_that_is_taken_hides_no_other_fault() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("its address").to_string();
    let mut configuration = Configuration::new("ES256");
    configuration.set("WXMINT_LISTEN", &address);
    configuration.set("WXMINT_ADMIN_LISTEN", &address);
    let busy = configuration.run().await;
    assert!(busy.code == Some(1) && !busy.stderr.contains("panicked"), "{busy:?}");
    let missing = ["WXMINT_KEYS", "WXMINT_VAULT_KEY_FILE"];
    missing.iter().for_each(|name| configuration.set(name, "/nowhere"));
    let outcome = configuration.refused().await;
    for name in ["WXMINT_LISTEN", "WXMINT_ADMIN_LISTEN"] {
        assert!(busy.stderr.contains(&format!("{name}: cannot listen on {address}")), "{busy:?}");
        assert!(outcome.contains(&format!("{name}: cannot listen on {address}")), "{outcome}");
    }
    assert!(missing.iter().all(|name| outcome.contains(&format!("{name}: /nowhere"))), "{outcome}");
}

#[tokio::test]
async fn of_files_that_are_read_at_the_start_each_one_that_is_missing_is_told() {
    let mut configuration = Configuration::new("ES256");
    ["WXMINT_APPID", "WXMINT_APP_SECRET"].iter().for_each(|name| configuration.set(name, ""));
    configuration.set("WXMINT_APPS_DIR", "/nowhere/apps");
    configuration.set("WXMINT_ACCOUNTS", "file:/nowhere/users");
    let outcome = configuration.refused().await;
    assert!(outcome.contains("/nowhere/apps") && outcome.contains("/nowhere/users"), "{outcome}");
}

//! Mistakes in the settings: all named at once, with what to do, and no secret repeated.

use std::{
    fs::{self, Permissions},
    net::TcpListener,
    os::unix::fs::PermissionsExt,
};

use crate::support::{APP_SECRET, Configuration, TestBed, write_private};

const REQUIRED: [&str; 6] =
    ["WXMINT_ISSUER", "WXMINT_APPID", "WXMINT_APP_SECRET", "WXMINT_REDIS_URL", "WXMINT_KEYS", "WXMINT_VAULT_KEY_FILE"];
const PLANTED: &str = "PLANTED7e4b1a";

#[tokio::test]
async fn each_required_variable_is_asked_for_by_name_and_with_an_example() {
    for missing in REQUIRED {
        let mut configuration = Configuration::new("ES256");
        configuration.unset(missing);
        let outcome = configuration.refused().await;
        assert!(outcome.contains(&format!("{missing} is not set")), "{outcome}");
        assert!(outcome.contains(&format!("example: {missing}")), "{outcome}");
        for present in REQUIRED.iter().filter(|name| !missing.starts_with(**name)) {
            assert!(!outcome.contains(&format!("{present} ")), "{present} is right: {outcome}");
        }
    }
}

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
async fn an_issuer_without_tls_is_refused_unless_it_is_this_machine() {
    let mut configuration = Configuration::new("ES256");
    configuration.set("WXMINT_ISSUER", "http://login.example.com");
    let outcome = configuration.refused().await;
    assert!(outcome.contains("WXMINT_ISSUER is not an https URL"), "{outcome}");
    TestBed::builder().env("WXMINT_ISSUER", "http://127.0.0.1:8080").start().await;
}

#[tokio::test]
async fn a_secret_in_the_wrong_form_or_place_is_not_repeated() {
    for (name, value) in [
        ("WXMINT_APP_SECRET", format!("{PLANTED} with a space")),
        ("WXMINT_REDIS_URL", format!("redis//:{PLANTED}@127.0.0.1:6379")),
        ("WXMINT_REDIS_URL", format!("redis://:{PLANTED}@127.0.0.1:port")),
        ("WXMINT_APPID", format!("{PLANTED} in the AppID")),
        ("WXMINT_ISSUER", format!("https://user:{PLANTED}@login.example.com")),
        ("WXMINT_TOKEN_TTL", PLANTED.to_owned()),
    ] {
        let mut configuration = Configuration::new("ES256");
        configuration.set(name, &value);
        let outcome = configuration.refused().await;
        assert!(outcome.contains(name) && !outcome.contains(PLANTED), "{outcome}");
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
async fn a_key_file_that_is_missing_is_named_with_the_command_that_makes_it() {
    let mut configuration = Configuration::new("ES256");
    for (name, command) in [
        ("WXMINT_KEYS", "wxmint keys generate --keys"),
        ("WXMINT_VAULT_KEY_FILE", "umask 077; openssl rand -base64 32 >"),
        ("WXMINT_ACCOUNTS", "wxmint users add NAME --users"),
    ] {
        let missing = configuration.path(&format!("missing-{name}")).to_string_lossy().into_owned();
        let value = if name == "WXMINT_ACCOUNTS" { format!("file:{missing}") } else { missing.clone() };
        configuration.set(name, &value);
        let outcome = configuration.refused().await;
        assert!(outcome.contains(&format!("; make it with: {command} {missing}")), "{outcome}");
    }
}

#[tokio::test]
async fn a_key_file_with_something_else_in_it_is_refused_and_not_repeated() {
    for name in ["WXMINT_KEYS", "WXMINT_VAULT_KEY_FILE"] {
        let mut configuration = Configuration::new("ES256");
        let path = configuration.path("planted");
        write_private(&path, &format!("{{\"keys\":[\"{PLANTED}\"]}}"));
        configuration.set(name, &path.to_string_lossy());
        let outcome = configuration.refused().await;
        assert!(outcome.contains(name) && !outcome.contains(PLANTED), "{outcome}");
    }
}

#[tokio::test]
async fn the_app_secret_may_come_from_a_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("app-secret");
    write_private(&path, &format!("{APP_SECRET}\n"));
    let bed = TestBed::builder().env("WXMINT_APP_SECRET", "").env("WXMINT_APP_SECRET_FILE", &path.to_string_lossy());
    bed.start().await.log_in("lin").await.expect_login();
}

#[tokio::test]
async fn an_unknown_variable_is_warned_about_with_the_nearest_known_one() {
    let bed = TestBed::builder()
        .env("WXMINT_ISUER", PLANTED)
        .env("WXMINT_SERVICE_HOST", "10.0.0.1")
        .env("WXMINT_PORT", "tcp://10.0.0.1:8080")
        .env("WXMINT_PORT_8080_TCP", "tcp://10.0.0.1:8080");
    let bed = bed.start().await;
    let events = bed.service().events();
    let warnings: Vec<_> = events.iter().filter(|event| event["level"] == "WARN").collect();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    let warning = warnings[0].to_string();
    assert!(warning.contains("WXMINT_ISUER") && warning.contains("WXMINT_ISSUER"), "{warning}");
    assert!(!bed.service().log().contains(PLANTED));
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
        ("appid", "foo", "this AppID does not look like WeChat's"),
        ("variable", "WXMINT_KEYS_LEAD", "with a lead of 5 s, verifiers that fetch keys less often refuse new tokens"),
        ("variable", "RUST_LOG", "not understood, so that the level is info"),
    ] {
        let is_it = |event: &serde_json::Value| {
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

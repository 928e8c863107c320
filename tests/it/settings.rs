//! Mistakes in the settings, as `wxmint serve` tells them. src/settings/tests.rs has a row for each;
//! tests/it/doctor/files.rs the files.

use crate::support::prelude::*;
use std::net::TcpListener;

#[tokio::test]
async fn what_is_accepted_and_unlikely_to_be_meant_is_warned_about() {
    let unlikely = [
        ("WXMINT_APPID", "foo"),
        ("WXMINT_KEY_PREPUBLISH", "5s"),
        ("RUST_LOG", "warning"),
    ];
    let forgetful = [
        ("WXMINT_SESSION_KEY_TTL", "299s"),
        ("WXMINT_LIMIT_OPENID", "30/5m"),
    ];
    let builder = TestBed::builder().user_ids("openid", crate::user_ids::ID_KEY);
    let bed = builder
        .envs(&unlikely)
        .envs(&forgetful)
        .not_ready()
        .start()
        .await;
    let warnings: Vec<_> = bed
        .service()
        .events()
        .into_iter()
        .filter(|event| event["level"] == "WARN")
        .collect();
    for (member, value, sentence) in [
        (
            "appid",
            json!("foo"),
            "this AppID does not look like WeChat's",
        ),
        (
            "variable",
            Value::Null,
            "WXMINT_KEY_PREPUBLISH: with a lead of 5 s, verifiers that fetch keys less often refuse",
        ),
        (
            "variable",
            Value::Null,
            "WXMINT_SESSION_KEY_TTL is shorter than the time in WXMINT_LIMIT_OPENID",
        ),
        (
            "variable",
            Value::Null,
            "WXMINT_SESSION_KEY_TTL is shorter than WXMINT_TOKEN_TTL",
        ),
        (
            "variable",
            json!("RUST_LOG"),
            "not understood, so that the level is info",
        ),
    ] {
        let is_it = |event: &Value| {
            event[member] == value
                && event["message"]
                    .as_str()
                    .is_some_and(|message| message.contains(sentence))
        };
        assert_eq!(
            warnings.iter().filter(|event| is_it(event)).count(),
            1,
            "{value}: {warnings:?}"
        );
    }
}

#[tokio::test]
async fn a_port_that_is_taken_and_a_file_that_is_missing_hide_no_other_fault() {
    let taken = ["WXMINT_LISTEN", "WXMINT_ADMIN_LISTEN"].map(|name| {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        (
            name,
            listener.local_addr().expect("its address").to_string(),
            listener,
        )
    });
    let mut configuration = Configuration::new("ES256");
    for (name, address, _) in &taken {
        configuration.set(name, address);
    }
    let busy = configuration.run().await;
    assert!(
        busy.code == Some(1) && !busy.stderr.contains("panicked"),
        "{busy:?}"
    );
    let missing = ["WXMINT_KEYS", "WXMINT_VAULT_KEY_FILE"];
    for name in missing {
        configuration.set(name, "/nowhere");
    }
    let others = [
        ("WXMINT_APPID", ""),
        ("WXMINT_APP_SECRET", ""),
        ("WXMINT_APPS_DIR", "/nowhere/apps"),
    ];
    configuration.set_all(others);
    configuration.set("WXMINT_ACCOUNTS", "file:/nowhere/users");
    let outcome = configuration.refused().await;
    for (name, address, _) in &taken {
        assert!(
            busy.stderr
                .contains(&format!("{name}: cannot listen on {address}")),
            "{busy:?}"
        );
        assert!(
            outcome.contains(&format!("{name}: cannot listen on {address}")),
            "{outcome}"
        );
    }
    assert!(
        missing
            .iter()
            .all(|name| outcome.contains(&format!("{name}: /nowhere"))),
        "{outcome}"
    );
    assert!(
        outcome.contains("/nowhere/apps") && outcome.contains("/nowhere/users"),
        "{outcome}"
    );
}

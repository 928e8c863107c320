//! While a back end is moved (docs/move.md), the old secret alone judges the tokens that name no key, whatever is known
//! of wxmint's keys, and until a date; and no token of one kind is taken for the other.

use std::{fs, net::SocketAddr, process::Command};

use aws_lc_rs::hmac;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::example::{Example, Started};
use crate::forge::{joined, merged, with_signature};
use crate::java_spring::start_with;
use crate::scene::Scene;
use crate::services::java;
use crate::support::{Process, free_port, repository, tools};

/// Shorter than Nimbus would take it.
const SECRET: &str = "an old secret";

fn node(issuer: SocketAddr, until: &str) -> Started {
    let (port, folder) = (
        free_port(),
        TempDir::new_in(tools("node")).expect("a folder"),
    );
    for file in ["app.mjs", "tokens.mjs", "users.mjs"] {
        fs::copy(
            repository("examples/move").join(file),
            folder.path().join(file),
        )
        .expect("a copy");
    }
    let mut node = Command::new("node");
    let issuer = format!("http://{issuer}");
    let settings = [
        ("PORT", &*port.to_string()),
        ("OLD_SECRET", SECRET),
        ("OLD_UNTIL", until),
        ("ISSUER", &issuer),
    ];
    let process = Process::spawn(
        "node",
        node.current_dir(&folder).arg("app.mjs").envs(settings),
    );
    Started {
        example: Example::new("../move", port),
        _process: process,
        folder,
    }
}

fn spring(issuer: SocketAddr, until: &str) -> Started {
    let old = [
        ("old.secret", SECRET),
        ("old.until", until),
        ("appid", "wx1"),
    ];
    start_with(
        issuer,
        &[],
        &old.map(|(name, value)| format!("--{name}={value}")),
    )
}

/// The given members of the header and the claims are replaced; `null` removes one.
fn old_token(secret: &str, header: Value, claims: Value, now: i64) -> String {
    let header = merged(&json!({"alg": "HS256", "typ": "JWT"}), header);
    let signed = joined(
        &header.to_string(),
        &merged(&json!({"uid": 7, "exp": now + 600}), claims).to_string(),
    );
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    with_signature(&signed, hmac::sign(&key, signed.as_bytes()).as_ref())
}

async fn judges_each_kind_by_its_own_key_alone(start: fn(SocketAddr, &str) -> Started) {
    let scene = Scene::without_issuer().await;
    let (forge, ours) = (scene.forge(), &scene.lin.token);
    let old = |secret: &str, header, claims| old_token(secret, header, claims, forge.now);
    let (none, pem) = (json!({}), forge.issuer.pem());
    let good = old(SECRET, none.clone(), none.clone());
    let of_user = forge.claims_with(json!({"uid": 7}));
    let bad = [
        (
            "expired",
            old(SECRET, none.clone(), json!({"exp": forge.now - 1})),
        ),
        ("no exp", old(SECRET, none.clone(), json!({"exp": null}))),
        ("no user", old(SECRET, none.clone(), json!({"uid": null}))),
        (
            "another secret",
            old("another secret", none.clone(), none.clone()),
        ),
        (
            "the public key as the secret",
            old(&pem, none.clone(), none.clone()),
        ),
        ("none", old(SECRET, json!({"alg": "none"}), none.clone())),
        ("HS512", old(SECRET, json!({"alg": "HS512"}), none.clone())),
        ("ES256", old(SECRET, json!({"alg": "ES256"}), none.clone())),
        (
            "wxmint's without a kid",
            forge.by_issuer(&forge.header_with(json!({"kid": null})), &of_user),
        ),
        (
            "no signature",
            format!("{}.", &good[..good.rfind('.').expect("a dot")]),
        ),
    ];
    let named = [SECRET, &pem].map(|secret| {
        old(
            secret,
            forge.header_with(json!({"alg": "HS256"})),
            of_user.clone(),
        )
    });
    let refuses_bad_ones = async |example: &Example| {
        for (what, token) in &bad {
            assert_eq!(
                example.status(token).await,
                Some(401),
                "{}: {what}",
                example.name
            );
        }
    };
    let Started { example, .. } = &start(scene.address(), "2999-01-01T00:00:00Z");
    example
        .becomes(&good, 200, "an old token without wxmint")
        .await;
    assert_eq!(
        example.status(ours).await,
        Some(503),
        "{}: wxmint's token without its keys",
        example.name
    );
    refuses_bad_ones(example).await;
    for token in &named {
        assert!(
            matches!(example.status(token).await, Some(401 | 503)),
            "{}: HS256 with a kid",
            example.name
        );
    }
    scene.link.restore().await;
    example.becomes(ours, 200, "wxmint's token").await;
    assert_eq!(
        example.status(&good).await,
        Some(200),
        "{}: an old token",
        example.name
    );
    refuses_bad_ones(example).await;
    for token in &named {
        assert_eq!(
            example.status(token).await,
            Some(401),
            "{}: HS256 with a kid",
            example.name
        );
    }
    let Started { example, .. } = &start(scene.address(), "2026-01-01T00:00:00Z");
    example.becomes(ours, 200, "wxmint's token").await;
    assert_eq!(
        example.status(&good).await,
        Some(401),
        "{}: an old token after its time",
        example.name
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn express_judges_each_kind_by_its_own_key_alone() {
    judges_each_kind_by_its_own_key_alone(node).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn java_judges_each_kind_by_its_own_key_alone() {
    judges_each_kind_by_its_own_key_alone(|issuer, until| java(issuer, &[], &[SECRET, until]))
        .await;
}

mod java_spring {
    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "nightly, with each Spring Boot"]
    async fn judges_each_kind_by_its_own_key_alone() {
        super::judges_each_kind_by_its_own_key_alone(super::spring).await;
    }
}

//! A token is its user's: it stands in no log, metric or answer, at any level.

use super::{LONG, Signer};
use crate::support::prelude::*;

#[tokio::test(flavor = "multi_thread")]
async fn no_part_of_a_token_is_in_a_log_a_metric_or_a_refusal() {
    let signer = Signer::new();
    let issuer = Answering::of(&signer.set(), LONG);
    let sidecar = SidecarSettings::new(&issuer.url("/jwks"))
        .with("RUST_LOG", "trace")
        .ready()
        .await;
    let with = |mut claims: Value| {
        claims["sub"] = "planted-user-5b1d".into();
        signer.token_with(claims)
    };
    let tokens = [
        with(json!({})),
        with(json!({"aud": "https://planted-aud-77aa.example"})),
        with(json!({"exp": 1})),
        with(json!({"iss": "https://planted-iss-31fe.example"})),
        signer.token_under(json!({"kid": "planted-kid-c0de"})),
        signer.token_under(json!({"alg": "planted-alg-9e9e"})),
        format!("{}x", with(json!({}))),
        "planted-no-token-at-all-8c8c".to_owned(),
    ];
    let mut told = String::new();
    for token in &tokens {
        let bearer = format!("Authorization: Bearer {token}");
        for headers in [
            &[&*bearer][..],
            &[&bearer, &bearer],
            &[&bearer, "X-Forwarded-Uri: /planted-path-2f2f"],
            &[
                "X-Forwarded-Uri: /planted-path-2f2f",
                &format!("Cookie: {token}"),
            ],
            &[&format!("{bearer}\u{1}")],
        ] {
            let target = format!("GET /verify?access_token={token}&planted-query-6d6d HTTP/1.1");
            let received = sidecar.raw(&target, headers, "").await;
            if received.status() != Some(200) {
                told += &received.text();
            }
        }
    }
    // A set that holds what it should not is not repeated, either.
    issuer.at(
        "/jwks",
        Manner::says("200 OK", "", "{\"keys\":\"planted-set-1a1a\"}"),
    );
    sidecar.verify(&Signer::new().token()).await;
    told += &sidecar.admin("/metrics").await.body;
    told += &sidecar.admin("/readyz").await.body;
    let log = sidecar.log();
    assert!(
        log.lines()
            .any(|line| line.contains("INFO") && line.contains("token refused")),
        "{log}"
    );
    for (place, text) in [("log", log), ("answers and metrics", told)] {
        assert!(!text.contains("planted"), "{place}: {text}");
        for part in tokens
            .iter()
            .flat_map(|token| token.split('.'))
            .filter(|part| part.len() > 8)
        {
            assert!(!text.contains(part), "{place}: {part}: {text}");
        }
    }
}

//! `wxmint doctor sidecar`.

use super::Report;
use crate::support::{Answering, Configuration, ISSUER, Manner, TestBed, clock_off_by};

/// The environment of a sidecar whose issuer is at this address.
fn configuration(jwks: &str) -> Configuration {
    let mut configuration = Configuration::new("ES256");
    configuration.set_all([
        ("WXMINT_ISSUER", ISSUER),
        ("WXMINT_AUDIENCE", ISSUER),
        ("WXMINT_JWKS_URL", jwks),
    ]);
    configuration
}

async fn examined(configuration: &Configuration) -> Report {
    Report::run(&mut configuration.command_of(&["doctor", "sidecar", "--json"])).await
}

#[tokio::test]
async fn the_issuer_of_a_sidecar_is_seen_as_the_sidecar_sees_it() {
    let (bed, stranger) = (TestBed::start().await, Answering::start());
    let right = bed.service().url("/.well-known/jwks.json");
    let mut configuration = configuration(&right);
    let report = examined(&configuration).await;
    report.expect_healthy();
    assert_eq!(report.names(), ["settings", "jwks", "revocations", "clock"]);

    configuration.set("WXMINT_JWKS_URL", &bed.service().url("/nowhere?key=secret"));
    let report = examined(&configuration).await;
    let found = format!("at {}: the answer is 404", bed.service().url("/nowhere"));
    assert!(
        report
            .advice("jwks", "fault", &found)
            .contains("correct WXMINT_JWKS_URL")
    );
    assert_eq!((report.code, report.status("revocations")), (2, "warning"));
    configuration.set("WXMINT_JWKS_URL", &stranger.url("/jwks"));
    stranger.at(
        "/jwks",
        Manner::says("200 OK", "", r#"{"keys":[{"kty":"oct","k":"c2VjcmV0"}]}"#),
    );
    examined(&configuration)
        .await
        .advice("jwks", "fault", "no key of the set can be used");
    configuration.set("WXMINT_JWKS_URL", &right);

    configuration.set("WXMINT_REVOCATIONS_URL", &stranger.url("/revocations"));
    stranger.at("/revocations", Manner::says("200 OK", "", "a.b.c"));
    examined(&configuration).await.advice(
        "revocations",
        "warning",
        "the page is refused (malformed)",
    );
    configuration.set("WXMINT_REVOCATIONS_URL", &bed.service().url("/nowhere"));
    let report = examined(&configuration).await;
    let advice = report.advice("revocations", "warning", &found);
    assert!(
        advice.contains("correct WXMINT_REVOCATIONS_URL") && report.code == 1,
        "{advice}"
    );
    configuration.set("WXMINT_REVOCATIONS_FAIL", "closed");
    examined(&configuration)
        .await
        .advice("revocations", "fault", "all tokens are refused");
    configuration.set("WXMINT_REVOCATIONS_URL", "off");
    examined(&configuration).await.expect_healthy();

    configuration.set_all(clock_off_by("+100s"));
    let report = examined(&configuration).await;
    assert_eq!(
        report.advice("clock", "warning", "s ahead of that of https://"),
        "set both by NTP"
    );
    configuration.unset("WXMINT_ISSUER");
    let report = examined(&configuration).await;
    report.advice("settings", "fault", "WXMINT_ISSUER is not set");
    assert!(
        report.worst("jwks")[1].starts_with("not checked"),
        "{}",
        report.output
    );
}

//! What k8s/monitoring asks for is printed: here by the programs as they run, in src/telemetry/tests.rs by serve when
//! everything that it counts has happened, labels included.

use std::{collections::BTreeSet, fs};

use crate::support::{SidecarSettings, TestBed, repository};

const OF_THE_SIDECAR: [&str; 3] = ["wxmint_sidecar_", "wxmint_jwks_", "wxmint_revocations_"];
/// Printed once a page has been refused: tests/it/sidecar/ended.rs reads it.
const REFUSED_PAGES: &str = "wxmint_revocations_refused_pages_total";
/// What both print of themselves.
const BUILD: &str = concat!("wxmint_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1\n");

fn monitoring(file: &str) -> String {
    fs::read_to_string(repository("k8s/monitoring").join(file)).expect("a file of the repository")
}

/// The names of metrics in a text, by their prefix.
fn metrics(text: &str) -> BTreeSet<&str> {
    text.split(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '_'))
        .filter(|word| word.starts_with("wxmint_"))
        .collect()
}

/// The outcomes that a text selects by, alternatives one by one; quotes are escaped in JSON.
fn outcomes(text: &str) -> BTreeSet<&str> {
    let values = text.split(['{', ',']).filter_map(|matcher| matcher.strip_prefix("outcome=")?.split('"').nth(1));
    values.flat_map(|value| value.trim_end_matches('\\').split('|')).collect()
}

#[tokio::test]
async fn every_metric_of_an_alert_on_the_keys_is_one_that_serve_prints() {
    let rules = monitoring("alerts-keys.yaml");
    let bed = TestBed::start().await;
    let printed = bed.service().metrics().await;
    assert!(printed.contains(BUILD), "{printed}");
    let (asked, printed) = (metrics(&rules), metrics(&printed));
    assert!(asked.len() >= 3 && asked.is_subset(&printed), "{asked:?} {printed:?}");
}

#[tokio::test]
async fn every_metric_of_an_alert_on_sidecars_is_one_that_the_sidecar_prints() {
    let bed = TestBed::start().await;
    let jwks = bed.service().url("/.well-known/jwks.json");
    let settings = SidecarSettings::new(&jwks).without("WXMINT_REVOCATIONS_URL");
    let printed = settings.ready().await.admin("/metrics").await.body;
    assert!(printed.contains(BUILD), "{printed}");

    let texts = [monitoring("alerts-sidecar.yaml"), monitoring("dashboards/wxmint.json")];
    for text in &texts {
        let of_the_sidecar = |name: &&str| OF_THE_SIDECAR.iter().any(|prefix| name.starts_with(prefix));
        let asked = metrics(text).into_iter().filter(of_the_sidecar).filter(|&name| name != REFUSED_PAGES);
        let (asked, printed): (BTreeSet<_>, _) = (asked.collect(), metrics(&printed));
        assert!(asked.len() >= 3 && asked.is_subset(&printed), "{asked:?} {printed:?}");
    }
    let asked = outcomes(&texts[0]);
    assert!(asked.len() >= 3, "{asked:?}");
    for outcome in asked {
        assert!(printed.contains(&format!("wxmint_sidecar_verifications_total{{outcome=\"{outcome}\"}}")), "{outcome}");
    }
}

#[test]
fn the_runbook_has_a_section_for_each_alert_and_for_nothing_else() {
    let rules = ["issuer", "keys", "sidecar"].map(|of| monitoring(&format!("alerts-{of}.yaml"))).concat();
    let alerts: BTreeSet<_> = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(alerts.len() >= 17, "{alerts:?}");
    for page in ["docs/runbook.md", "docs/runbook.zh-CN.md"] {
        let page = fs::read_to_string(repository(page)).expect("a page");
        let sections: BTreeSet<_> = page.lines().filter_map(|line| line.strip_prefix("### ")).collect();
        assert_eq!(sections, alerts);
    }
}

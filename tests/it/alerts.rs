//! k8s/monitoring is about metrics that exist: here those of the keys, which serve prints before anything has happened. The
//! rest is in src/telemetry/tests.rs.

use std::{collections::BTreeSet, fs};

use crate::support::TestBed;

/// The names of metrics in a text, by their prefix.
fn metrics(text: &str) -> BTreeSet<&str> {
    text.split(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '_'))
        .filter(|word| word.starts_with("wxmint_"))
        .collect()
}

#[tokio::test]
async fn every_metric_of_an_alert_on_the_keys_is_one_that_serve_prints() {
    let rules = fs::read_to_string("k8s/monitoring/alerts-keys.yaml").expect("a file");
    let bed = TestBed::start().await;
    let printed = bed.service().metrics().await;
    let (asked, printed) = (metrics(&rules), metrics(&printed));
    assert!(asked.len() >= 3 && asked.is_subset(&printed), "{asked:?} {printed:?}");
}

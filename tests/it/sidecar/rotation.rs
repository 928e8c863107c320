//! A key that is retired, behind a sidecar.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use super::{settings_of, tell};
use crate::support::{BUSY, TestBed, eventually, keys, kid_of};

#[tokio::test(flavor = "multi_thread")]
async fn a_remembered_token_is_refused_once_its_key_was_retired_and_the_set_has_been_fetched_again() {
    // With this lead a sidecar looks for keys again after 7 s at the soonest.
    let bed = TestBed::builder().env("WXMINT_TOKEN_TTL", "2m").env("WXMINT_KEYS_LEAD", "14s").start().await;
    let sidecar = settings_of(&bed).ready().await;
    let old = bed.log_in("lin").await.expect_login().member("access_token");
    for _ in 0..2 {
        assert_eq!(sidecar.verify(&old).await.status, 200);
    }
    let file = Path::new(bed.configuration.value("WXMINT_KEYS"));
    keys(file, &["retire", &kid_of(&old), "--now", "--yes"]);
    let retired = Instant::now();
    // The issuer sees its file within 5 s, the sidecar the set within 9 more.
    let took = eventually("the old token is refused", Duration::from_secs(14) + BUSY, async || {
        let answer = sidecar.verify(&old).await;
        assert!([200, 401].contains(&answer.status), "{answer:?}");
        (answer.status == 401).then(|| retired.elapsed())
    })
    .await;
    tell(&format!("a retired key's remembered token is refused after {:.1} s", took.as_secs_f64()));
    let new = bed.log_in("lin").await.expect_login().member("access_token");
    assert_ne!(kid_of(&new), kid_of(&old));
    assert_eq!(sidecar.verify(&new).await.status, 200, "and the new key is known");
    assert_eq!(sidecar.verify(&old).await.status, 401);
}

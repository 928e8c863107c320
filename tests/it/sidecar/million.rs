//! A million ends: how long they take to read, and how much memory.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{
    Signer,
    feed::{FeedServer, hash},
    signer::now,
    tell,
};
use crate::support::{BUSY, ISSUER};

const MILLION: usize = 1_000_000;
/// In KiB, of the whole sidecar.
const MEMORY: u64 = 100 * 1024;
pub(crate) const READ: Duration = Duration::from_secs(10);

/// Returns how long it took. tests/nightly holds that to `READ`.
pub(crate) async fn a_million_ends_are_read_and_fit_into_a_hundred_megabytes() -> Duration {
    let signer = Signer::new();
    let issuer = FeedServer::of(&signer).await;
    let expires = now() + 3600;
    issuer.feed().end((1..MILLION).map(|number| match number % 2 {
        0 => json!(["sub", hash(&format!("user-{number}")), expires]),
        _ => json!(["jti", hash(&format!("jti-{number}")), expires]),
    }));
    issuer.feed().end([json!(["sub", hash("lin"), expires])]);
    issuer.feed().sign_ahead();
    let began = Instant::now();
    let sidecar = issuer.settings().with("WXMINT_REVOCATIONS_FAIL", "closed").start().await;
    // A page of ten thousand takes a busy machine with an unoptimized program a second.
    sidecar.ready_within(READ + 10 * BUSY).await;
    let took = began.elapsed();
    let held = sidecar.metric(&format!("wxmint_revocations_held{{issuer=\"{ISSUER}\"}}")).await;
    assert_eq!(held as usize, MILLION);
    assert_eq!(sidecar.verify(&signer.token()).await.status, 401);
    assert_eq!(sidecar.verify(&signer.token_with(json!({"sub": "wang"}))).await.status, 200);
    tell(&format!("a million ends: {:.1} s, {} KiB at the most", took.as_secs_f64(), sidecar.peak_memory()));
    assert!(sidecar.peak_memory() < MEMORY, "{} KiB", sidecar.peak_memory());
    took
}

//! The sidecar's flood of unknown keys and its million of ends, as tests/it runs them, with their times.

#[expect(dead_code, reason = "of tests/it")]
#[path = "../it/sidecar/feed.rs"]
mod feed;
#[path = "../it/sidecar/flood.rs"]
mod flood;
#[expect(dead_code, reason = "the forge of the tests of examples; here its keys are needed")]
#[path = "../peers/forge.rs"]
mod forge;
#[path = "../it/sidecar/million.rs"]
mod million;
#[expect(dead_code, reason = "of tests/it")]
#[path = "../it/sidecar/signer.rs"]
mod signer;

use std::time::Duration;

use self::signer::Signer;
use crate::support::tell;

const INVALID_TOKEN: &str = r#"Bearer error="invalid_token""#;
const LONG: u64 = 600;

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_unknown_keys_harm_no_good_token_and_few_wait_for_keys() {
    const UNHARMED: Duration = Duration::from_millis(50);
    let (kept, [quiet, flooded]) = flood::ten_thousand_unknown_keys_cause_one_fetch_in_ten_seconds().await;
    assert!((1..=64).contains(&kept), "{kept} were kept");
    assert!(flooded < UNHARMED.max(3 * quiet), "{flooded:?}, without them {quiet:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_million_ends_are_read_in_ten_seconds() {
    let took = million::a_million_ends_are_read_and_fit_into_a_hundred_megabytes().await;
    assert!(took < million::READ, "{took:?}");
}

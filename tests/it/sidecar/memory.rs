//! Tokens that are remembered are many, and memory is not.

use tokio::task::JoinSet;

use super::{Signer, sidecar_of, tell};
use crate::support::Connection;

const TOKENS: usize = 50_000;
const LANES: usize = 4;
/// In KiB: what remembering them all may take (`CAPACITY`, of which they fill two thirds), and as much again for how
/// memory is handed out.
const GROWTH: u64 = 64 * 1024;

#[tokio::test(flavor = "multi_thread")]
async fn fifty_thousand_distinct_tokens_are_remembered_in_bounded_memory() {
    let signer = Signer::new();
    let (_issuer, sidecar) = sidecar_of(&signer).await;
    assert_eq!(sidecar.verify(&signer.token()).await.status, 200);
    let before = sidecar.memory();
    let mut lanes = JoinSet::new();
    for _ in 0..LANES {
        let (address, signer) = (sidecar.address, signer.twin());
        lanes.spawn(async move {
            let mut connection = Connection::to(address).await;
            for _ in 0..TOKENS / LANES {
                let header = format!("Authorization: Bearer {}\r\n", signer.token());
                let (status, body) = connection.send("GET /verify", &header, "").await;
                assert_eq!(status, 200, "{body}");
            }
        });
    }
    lanes.join_all().await;
    let (grown, remembered) =
        (sidecar.peak_memory().saturating_sub(before), sidecar.metric("wxmint_sidecar_remembered_tokens").await);
    tell(&format!("{TOKENS} distinct tokens: {remembered} are remembered, in {grown} KiB more"));
    assert!(grown < GROWTH, "{grown} KiB");
    assert!((TOKENS / 2..=TOKENS + 1).contains(&(remembered as usize)), "{remembered}");
}

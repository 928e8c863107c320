//! examples/peers/go/ends.go.

use super::obeys_the_feed;
use crate::go::{OFTEN, Orders};

#[tokio::test(flavor = "multi_thread")]
async fn net_http_refuses_what_was_ended() {
    obeys_the_feed(
        |issuer, closed| {
            let fail = [("failClosed      = false ", "failClosed      = true ")];
            let often = [
                OFTEN[1],
                ("lookEvery       = 5 * time.Second", "lookEvery       = 99 * time.Millisecond"),
                ("maxAge          = 60 * time.Second", "maxAge          = 2 * time.Second"),
                ("firstPageWithin = 10 * time.Second", "firstPageWithin = 2 * time.Second"),
                ("Timeout: 5 * time.Second", "Timeout: 1 * time.Second"),
            ];
            Orders::at(issuer.address, &[&often[..], &fail[..usize::from(closed)]].concat())
        },
        |orders| &orders.example,
    )
    .await;
}

//! examples/peers/go/ends.go.

use super::{believes_no_old_keys, issuer::Issuer, keeps_the_newest, obeys_a_page_of_a_new_key, obeys_the_feed};
use crate::{
    example::Started,
    go::{self, OFTEN},
};

fn start(issuer: &Issuer, closed: bool) -> Started {
    start_with(issuer, closed, &[])
}

fn start_with(issuer: &Issuer, closed: bool, more: &[(&str, &str)]) -> Started {
    let fail = [("failClosed      = false ", "failClosed      = true ")];
    let often = [
        OFTEN[1],
        ("lookEvery       = 5 * time.Second", "lookEvery       = 99 * time.Millisecond"),
        ("maxAge          = 60 * time.Second", "maxAge          = 2 * time.Second"),
        ("firstPageWithin = 10 * time.Second", "firstPageWithin = 2 * time.Second"),
        ("Timeout: 5 * time.Second", "Timeout: 1 * time.Second"),
    ];
    go::start(issuer.address, &[&often[..], &fail[..usize::from(closed)], more].concat())
}

#[tokio::test(flavor = "multi_thread")]
async fn net_http_refuses_what_was_ended() {
    obeys_the_feed(start, |orders| &orders.example).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn net_http_learns_of_a_retired_key_by_a_page_of_a_new_one() {
    obeys_a_page_of_a_new_key(start, |orders| &orders.example).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn net_http_believes_no_old_keys() {
    let settings = [OFTEN[0], OFTEN[1], ("keysMaxAge   = 24 * time.Hour", "keysMaxAge   = 3 * time.Second")];
    believes_no_old_keys(|issuer| go::start(issuer.address, &settings), |orders| &orders.example).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn net_http_keeps_the_newest_ends_when_it_is_full() {
    let full = [("maxEnds         = 1_000_000 ", "maxEnds         = 20 ")];
    keeps_the_newest(|issuer, closed| start_with(issuer, closed, &full), |orders| &orders.example).await;
}

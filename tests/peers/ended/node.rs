//! examples/peers/node/ends.mjs.

use super::{believes_no_old_keys, issuer::Issuer, keeps_the_newest, obeys_a_page_of_a_new_key, obeys_the_feed};
use crate::{example::Started, scripts::express};

fn start(issuer: &Issuer, closed: bool) -> Started {
    start_with(issuer, closed, &[])
}

fn start_with(issuer: &Issuer, closed: bool, more: &[(&str, &str)]) -> Started {
    let fail = [("FAIL = \"open\";", "FAIL = \"closed\";")];
    let often = [
        ("EVERY = 5_000;", "EVERY = 100;"),
        ("DEADLINE = 4_000;", "DEADLINE = 1_000;"),
        ("MAX_AGE = 60;", "MAX_AGE = 2;"),
        ("FIRST_PAGE_WITHIN = 10;", "FIRST_PAGE_WITHIN = 2;"),
    ];
    express(issuer.address, &[&often[..], &fail[..usize::from(closed)], more].concat())
}

#[tokio::test(flavor = "multi_thread")]
async fn express_refuses_what_was_ended() {
    obeys_the_feed(start, |express| &express.example).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn express_learns_of_a_retired_key_by_a_page_of_a_new_one() {
    obeys_a_page_of_a_new_key(start, |express| &express.example).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn express_believes_no_old_keys() {
    let settings = [
        ("EVERY = 300_000;", "EVERY = 500;"),
        ("KEYS_MAX_AGE = 86_400_000;", "KEYS_MAX_AGE = 3_000;"),
        ("EVERY = 5_000;", "EVERY = 100;"),
    ];
    believes_no_old_keys(|issuer| express(issuer.address, &settings), |express| &express.example).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn express_keeps_the_newest_ends_when_it_is_full() {
    let full = [("MOST_ENDS = 1_000_000;", "MOST_ENDS = 20;")];
    keeps_the_newest(|issuer, closed| start_with(issuer, closed, &full), |express| &express.example).await;
}

//! examples/peers/python/ends.py.

use super::{believes_no_old_keys, issuer::Issuer, keeps_the_newest, obeys_a_page_of_a_new_key, obeys_the_feed};
use crate::{example::Started, scripts::fastapi};

fn start(issuer: &Issuer, closed: bool) -> Started {
    start_with(issuer, closed, &[])
}

fn start_with(issuer: &Issuer, closed: bool, more: &[(&str, &str)]) -> Started {
    let fail = [("FAIL = \"open\"", "FAIL = \"closed\"")];
    let often = [
        ("EVERY = 5 ", "EVERY = 0.1 "),
        ("DEADLINE = 4 ", "DEADLINE = 1 "),
        ("MAX_AGE = 60 ", "MAX_AGE = 2 "),
        ("FIRST_PAGE_WITHIN = 10 ", "FIRST_PAGE_WITHIN = 2 "),
    ];
    fastapi(issuer.address, &[&often[..], &fail[..usize::from(closed)], more].concat())
}

#[tokio::test(flavor = "multi_thread")]
async fn fastapi_refuses_what_was_ended() {
    obeys_the_feed(start, |fastapi| &fastapi.example).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fastapi_learns_of_a_retired_key_by_a_page_of_a_new_one() {
    obeys_a_page_of_a_new_key(start, |fastapi| &fastapi.example).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fastapi_believes_no_old_keys() {
    let settings = [("EVERY = 300 ", "EVERY = 0.5 "), ("MAX_AGE = 86_400 ", "MAX_AGE = 3 ")];
    believes_no_old_keys(|issuer| fastapi(issuer.address, &settings), |fastapi| &fastapi.example).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fastapi_keeps_the_newest_ends_when_it_is_full() {
    let full = [("MOST_ENDS = 1_000_000 ", "MOST_ENDS = 20 ")];
    keeps_the_newest(|issuer, closed| start_with(issuer, closed, &full), |fastapi| &fastapi.example).await;
}

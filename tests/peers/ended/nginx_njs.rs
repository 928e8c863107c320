//! examples/peers/nginx-njs/wxmint-revocations.js.

use super::{issuer::Issuer, obeys_a_page_of_a_new_key, obeys_the_feed};
use crate::{back_end::BackEnd, nginx_njs::Nginx};

fn start(issuer: &Issuer, back_end: &BackEnd, closed: bool) -> Nginx {
    let fail = [("FAIL = 'open';", "FAIL = 'closed';")];
    let often = [
        ("const MAX_AGE = 60;", "const MAX_AGE = 2;"),
        ("FIRST_PAGE_WITHIN = 10;", "FIRST_PAGE_WITHIN = 2;"),
        ("FOLDERS = 64;", "FOLDERS = 1;"),
        (" FETCH_EVERY = 10;", " FETCH_EVERY = 2;"),
    ];
    Nginx::at(issuer.address, back_end, "0.05", &[&often[..], &fail[..usize::from(closed)]].concat())
}

#[tokio::test(flavor = "multi_thread")]
async fn nginx_with_njs_refuses_what_was_ended() {
    let back_end = BackEnd::start().await;
    obeys_the_feed(|issuer, closed| start(issuer, &back_end, closed), |nginx| &nginx.started.example).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nginx_with_njs_learns_of_a_retired_key_by_a_page_of_a_new_one() {
    let back_end = BackEnd::start().await;
    obeys_a_page_of_a_new_key(|issuer, closed| start(issuer, &back_end, closed), |nginx| &nginx.started.example).await;
}

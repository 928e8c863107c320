//! examples/peers/nginx-njs/wxmint-ends.js.

use super::obeys_the_feed;
use crate::{back_end::BackEnd, nginx_njs::Nginx};

#[tokio::test(flavor = "multi_thread")]
async fn nginx_with_njs_refuses_what_was_ended() {
    let back_end = BackEnd::start().await;
    obeys_the_feed(
        |issuer, closed| {
            let fail = [("FAIL = 'open';", "FAIL = 'closed';")];
            let often = [
                ("const MAX_AGE = 60;", "const MAX_AGE = 2;"),
                ("FIRST_PAGE_WITHIN = 10;", "FIRST_PAGE_WITHIN = 2;"),
                ("FOLDERS = 64;", "FOLDERS = 1;"),
            ];
            Nginx::at(issuer.address, &back_end, "0.1", &[&often[..], &fail[..usize::from(closed)]].concat())
        },
        |nginx| &nginx.example,
    )
    .await;
}

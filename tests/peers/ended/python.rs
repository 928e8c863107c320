//! examples/peers/python/ends.py.

use super::obeys_the_feed;
use crate::python::FastApi;

#[tokio::test(flavor = "multi_thread")]
async fn fastapi_refuses_what_was_ended() {
    obeys_the_feed(
        |issuer, closed| {
            let fail = [("FAIL = \"open\"", "FAIL = \"closed\"")];
            let often = [
                ("EVERY = 5 ", "EVERY = 0.1 "),
                ("DEADLINE = 4 ", "DEADLINE = 1 "),
                ("MAX_AGE = 60 ", "MAX_AGE = 2 "),
                ("FIRST_PAGE_WITHIN = 10 ", "FIRST_PAGE_WITHIN = 2 "),
            ];
            FastApi::at(issuer.address, &[&often[..], &fail[..usize::from(closed)]].concat())
        },
        |fastapi| &fastapi.example,
    )
    .await;
}

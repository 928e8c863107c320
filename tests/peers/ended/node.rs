//! examples/peers/node/ends.mjs.

use super::obeys_the_feed;
use crate::node::Express;

#[tokio::test(flavor = "multi_thread")]
async fn express_refuses_what_was_ended() {
    obeys_the_feed(
        |issuer, closed| {
            let fail = [("FAIL = \"open\";", "FAIL = \"closed\";")];
            let often = [
                ("EVERY = 5_000;", "EVERY = 100;"),
                ("MAX_AGE = 60;", "MAX_AGE = 2;"),
                ("WITHIN = 10;", "WITHIN = 2;"),
            ];
            Express::at(issuer.address, &[&often[..], &fail[..usize::from(closed)]].concat())
        },
        |express| &express.example,
    )
    .await;
}

//! Several issuers before one sidecar: nobody's keys are good for another's tokens, and nobody's outage is another's.

use super::{LONG, Signer};
use crate::support::prelude::*;

const A: &str = ISSUER;
const B: &str = "https://another.example.com";

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_verified_by_the_keys_of_the_issuer_that_it_names_which_is_away_for_its_own_tokens_alone()
 {
    let (a, b) = (Signer::of(A), Signer::of(B));
    let server = Answering::start();
    server.at("/a", Manner::serves(&a.set(), LONG));
    let settings = SidecarSettings::new(&format!("{},{}", server.url("/a"), server.url("/b")));
    let sidecar = settings
        .with("WXMINT_ISSUER", &format!("{A},{B}"))
        .start()
        .await;
    let keys_of_a = format!("wxmint_jwks_keys{{issuer=\"{A}\"}}");
    until("A's keys", PATIENCE, async || {
        sidecar.metric(&keys_of_a).await == 1.0
    })
    .await;
    assert_eq!(sidecar.verify(&a.token()).await.status, 200);
    sidecar
        .verify(&b.token())
        .await
        .expect_problem(503, "keys_unavailable");
    assert_eq!(
        sidecar
            .verify(&a.token_with(json!({"iss": "https://third.example.com"})))
            .await
            .status,
        401
    );
    assert_eq!(
        sidecar.admin("/readyz").await.status,
        503,
        "ready is who has the keys of all"
    );

    server.at("/b", Manner::serves(&b.set(), LONG));
    sidecar.ready_within(PATIENCE).await;
    for signer in [&a, &b] {
        assert_eq!(sidecar.verify(&signer.token()).await.status, 200);
    }
    for (what, token) in [
        ("A's token by B's key", b.token_with(json!({"iss": A}))),
        ("B's token by A's key", a.token_with(json!({"iss": B}))),
        (
            "A's token by B's key under A's kid",
            b.key
                .token(&a.header().to_string(), &a.claims().to_string()),
        ),
        (
            "B's token by B's key under A's kid",
            b.token_under(json!({"kid": a.key.kid})),
        ),
        (
            "both in one string",
            a.token_with(json!({"iss": format!("{A},{B}")})),
        ),
    ] {
        let answer = sidecar.verify(&token).await;
        assert_eq!(answer.status, 401, "{what}: {answer:?}");
    }
}

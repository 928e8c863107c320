//! A follower whose own clock is wrong for a while.

use std::fs;

use serde_json::json;
use wxmint::clock::now;

use super::issuer::{By, Issuer, Manner, PERSON_APP};
use super::revoked_second;
use crate::example::Started;
use crate::support::{PATIENCE, until};

/// A clock that is two days ahead for a while makes it forget nothing, and afterwards it follows as before, once it has
/// keys anew: those of that while count as two days old. One that steps back by ten minutes makes what it knows no
/// younger. `start` closes it without news, lets the clock be so while
/// the folder has a file of the name `ahead` or `behind`, and looks for keys often.
pub(crate) async fn obeys_no_wrong_clock(start: impl Fn(&Issuer) -> Started) {
    let issuer = Issuer::start().await;
    issuer.says(Manner::Good);
    let Started {
        example, folder, ..
    } = &start(&issuer);
    let iat = revoked_second();
    let of =
        |sub: &str, jti: &str| issuer.token(By::First, json!({"sub": sub, "jti": jti, "iat": iat}));
    let (mei, zhao) = (of("mei", "jti"), of("zhao", "jti"));
    let revoked = [
        of("lin", "jti"),
        of("wang", "jti"),
        of("sun", "jti-one"),
        issuer.token(By::Second, json!({"sub": "li", "iat": iat})),
    ];
    issuer.revoke_user("lin", iat);
    issuer.revoke_in_app("wang", PERSON_APP, iat);
    issuer.revoke_token("jti-one", now().timestamp() + 3600);
    issuer.revoke_second_key();
    for token in &revoked {
        example
            .becomes(token, 401, "before the clock is ahead")
            .await;
    }
    let file = folder.path().join("ahead");
    fs::write(&file, "").expect("written");
    issuer.answers(Manner::Good).await;
    asks_for_keys(&issuer).await;
    issuer.publishes(false);
    asks_for_keys(&issuer).await; // No keys from before are still on their way when the clock is right.
    fs::remove_file(&file).expect("removed");
    asks_for_keys(&issuer).await;
    assert_eq!(
        example.status(&mei).await,
        Some(503),
        "{}: believes keys of the future",
        example.name
    );
    issuer.publishes(true);
    example.becomes(&mei, 200, "the clock is right again").await;
    for token in &revoked {
        assert_eq!(
            example.status(token).await,
            Some(401),
            "{}: has forgotten a revocation",
            example.name
        );
    }
    issuer.revoke_user("zhao", iat);
    example.becomes(&zhao, 401, "a revocation after that").await;
    let early = issuer.token(By::First, json!({"sub": "mei", "iat": iat - 1000}));
    example.becomes(&early, 200, "a token of long ago").await;
    let file = folder.path().join("behind");
    fs::write(&file, "").expect("written");
    example
        .becomes(&early, 503, "by a clock that refuses pages of now")
        .await;
    issuer.answers(Manner::Good).await;
    assert_eq!(
        example.status(&early).await,
        Some(503),
        "{}: believes such a clock",
        example.name
    );
    fs::remove_file(&file).expect("removed");
    example
        .becomes(&early, 200, "the clock is right once more")
        .await;
}

/// Returns when it has dealt with two answers to requests of from now on.
async fn asks_for_keys(issuer: &Issuer) {
    issuer.says(Manner::Good);
    until("it asks for keys", PATIENCE, async || {
        issuer.requests_for("/.well-known/").len() >= 3
    })
    .await;
}

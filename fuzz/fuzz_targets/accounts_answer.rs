//! A response of an account service to each of the calls, or garbage in its place.

#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};
use wxmint::accounts::{read_admission, read_checked, read_found, read_made};
use wxmint_ids::UserId;

/// Seeds contain this in place of a secret.
const MARKED: &str = "hunter2";

fuzz_target!(|body: &[u8]| {
    let (checked, found, made) = (
        read_checked(200, body),
        read_found(200, body),
        read_made(200, body),
    );
    for unusable in [
        checked.as_ref().err(),
        found.as_ref().err(),
        made.as_ref().err(),
    ]
    .into_iter()
    .flatten()
    {
        assert!(
            !unusable.to_string().contains(MARKED) && !format!("{unusable:?}").contains(MARKED)
        );
    }
    let admission = read_admission(200, body);
    if let Err(unusable) = &admission {
        assert!(
            !unusable.to_string().contains(MARKED) && !format!("{unusable:?}").contains(MARKED)
        );
    }
    let members = serde_json::from_slice::<Value>(body).unwrap_or_default();
    let (user, new_user) = (members["user_id"].as_str(), members["new_user"].as_bool());
    if let Ok(checked) = &checked {
        assert_eq!(checked.as_ref().map(UserId::as_str), user);
        assert!(
            members["user_id"].is_null()
                || user.is_some_and(|user| (1..=128).contains(&user.len()))
        );
    }
    if let Ok(named) = &found {
        assert_eq!(named.as_ref().map(|named| named.user.as_str()), user);
        assert!(
            named
                .as_ref()
                .is_none_or(|named| Some(named.made) == new_user)
        );
    }
    // A response that made a user names a user, and a password check never makes one.
    assert_eq!(made.is_ok(), matches!(found, Ok(Some(_))));
    assert!(checked.is_err() || members.get("new_user").is_none());
    // No claim of the token's own is among those that are believed.
    if let Ok(admission) = &admission {
        let Some(claims) = admission else {
            panic!("200 is no refusal")
        };
        let claims = json!(claims);
        assert_eq!(members["claims"], claims);
        assert!(
            ["iss", "sub", "aud", "exp", "client_id"]
                .iter()
                .all(|own| claims.get(own).is_none())
        );
    }
    assert_eq!(read_admission(403, body), Ok(None));
    // A response with another status is unusable.
    assert!(
        [204, 301, 401, 403, 404, 500]
            .into_iter()
            .all(|status| read_found(status, body).is_err())
    );
});

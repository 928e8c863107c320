//! The users file of a running `wxmint serve`: read again within 5 s where it is fit, refused where it is not. The
//! tests of src/issuer/reload.rs and src/accounts/file hold which file is fit.

use crate::support::prelude::*;

/// Waits until the file was read, or refused, so often.
async fn reads(bed: &TestBed, outcome: &str, times: f64) {
    let line = format!("wxmint_reloads_total{{what=\"users\",outcome=\"{outcome}\"}}");
    until(&line, READ_AGAIN_WITHIN, async || {
        bed.service().metric(&line).await == times
    })
    .await;
}

#[tokio::test]
async fn a_token_has_the_claims_that_the_file_has_now_and_a_file_that_is_not_fit_changes_nobody() {
    let bed = TestBed::builder().users(&["bob", "alice"]).start().await;
    let (users, path) = (bed.users(), bed.users().path());
    users.change(&["claims", "alice", "roles=admin,editor;tenant=north"]);
    reads(&bed, "ok", 1.0).await;
    let claims = bed.log_in_with("lin", password_of("alice")).await.claims();
    assert_eq!(
        (&claims["roles"], &claims["tenant"]),
        (&json!(["admin", "editor"]), &json!("north"))
    );
    let others = bed.log_in_with("mei", password_of("bob")).await.claims();
    assert!(
        others.get("roles").is_none() && others.get("tenant").is_none(),
        "{others}"
    );

    users.change(&["claims", "alice", "roles=editor"]);
    reads(&bed, "ok", 2.0).await;
    // `cp`, `scp` and editors write in place: what is cut in its last id is another user's id for a moment.
    users.add("chen", "id-1023");
    let whole = fs::read_to_string(&path).expect("a file");
    let cut = whole.strip_suffix("23\n").expect("the id is the end");
    fs::write(&path, cut).expect("written");
    reads(&bed, "refused", 1.0).await;
    bed.service()
        .says("users: does not end with a line break")
        .await;
    let claims = bed.log_in("lin").await.claims();
    assert_eq!(
        (&claims["sub"], &claims["roles"]),
        (&json!("id-of-alice"), &json!(["editor"]))
    );
    assert_eq!(claims.get("tenant"), None);
    bed.log_in_with("chen", password_of("chen"))
        .await
        .expect_problem(403, "invalid_credentials");
    fs::write(&path, &whole).expect("written");
    reads(&bed, "ok", 3.0).await;
    assert_eq!(
        bed.log_in_with("chen", password_of("chen")).await.claims()["sub"],
        "id-1023"
    );
}

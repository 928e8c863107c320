//! The users file of a running `wxmint serve`: read again within 5 s where it is fit, refused where it is not.

use crate::support::prelude::*;

/// docs/accounts.md: "`wxmint serve` reads the file again within 5 s of a change".
const WITHIN: Duration = BUSY.saturating_add(Duration::from_secs(5));
const REFUSED: &str = "wxmint_reload_refused{what=\"users\"} 1";
async fn has(bed: &TestBed, line: &str) -> Option<()> {
    bed.service().metrics().await.lines().any(|found| found == line).then_some(())
}

/// The log's words on how many users there were each time the file was read.
fn counted(bed: &TestBed) -> Vec<u64> {
    bed.service().events().iter().filter_map(|event| event["users"].as_u64()).collect()
}

/// `cp`, `scp` and editors write in place: what has begun with `u-1023` is another user's id for a moment.
#[tokio::test]
async fn a_file_that_is_cut_in_its_last_id_lets_nobody_in_as_another_user() {
    let bed = TestBed::builder().users(&["mei"]).start().await;
    let (users, path) = (bed.users(), bed.users().path());
    users.add("lin", "id-1023");
    let whole = fs::read_to_string(&path).expect("a file");
    fs::write(&path, whole.strip_suffix("23\n").expect("the id is the end")).expect("written");
    eventually("the cut file", WITHIN, async || has(&bed, REFUSED).await).await;
    bed.service().says("users: does not end with a line break").await;
    bed.log_in_with("lin", password_of("lin")).await.expect_problem(403, "invalid_credentials");
    fs::write(&path, &whole).expect("written");
    until("the whole file", WITHIN, async || counted(&bed) == [1, 2]).await;
    assert_eq!(bed.log_in_with("lin", password_of("lin")).await.claims()["sub"], "id-1023");
}

#[tokio::test]
async fn a_token_has_the_claims_that_the_file_has_now() {
    let bed = TestBed::builder().users(&["alice", "bob"]).start().await;
    let (users, path) = (bed.users(), bed.users().path());
    users.set_claims("alice", "roles=admin,editor;tenant=north");
    until("the claims", WITHIN, async || counted(&bed) == [2, 2]).await;
    let claims = bed.log_in_with("lin", password_of("alice")).await.claims();
    assert_eq!((&claims["roles"], &claims["tenant"]), (&json!(["admin", "editor"]), &json!("north")));
    let others = bed.log_in_with("mei", password_of("bob")).await.claims();
    assert!(others.get("roles").is_none() && others.get("tenant").is_none(), "{others}");

    users.set_claims("alice", "roles=editor");
    until("other claims", WITHIN, async || counted(&bed) == [2, 2, 2]).await;
    let claims = bed.log_in("lin").await.claims();
    assert_eq!((&claims["roles"], claims.get("tenant")), (&json!(["editor"]), None));

    let good = fs::read_to_string(&path).expect("a file");
    fs::write(&path, good.replace("roles=editor", "sub=id-of-bob")).expect("written");
    eventually("a registered name", WITHIN, async || has(&bed, REFUSED).await).await;
    bed.service().says("users: line 1: has the claim `sub`").await;
    let claims = bed.log_in("lin").await.claims();
    assert_eq!((&claims["sub"], &claims["roles"]), (&json!("id-of-alice"), &json!(["editor"])));
}

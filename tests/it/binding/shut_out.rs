//! Users who may not log in any more: disabled in the users file, or gone from it.

use super::tickets::{redeem, ticket_of};
use super::{OTHER_APPID, business, is_users, user_of};
use crate::support::prelude::*;

impl TestBed {
    /// Runs `wxmint users WORD NAME`, and waits until the service has read the file so often.
    async fn change(&self, word: &str, name: &str, readings: usize) {
        self.users().change(&[word, name]);
        let read = format!("wxmint_reloads_total{{what=\"users\",outcome=\"ok\"}} {readings}\n");
        let in_use = async || self.service().metrics().await.contains(&read);
        until("the changed file is in use", READ_AGAIN_WITHIN, in_use).await;
    }
}

#[tokio::test]
async fn who_is_disabled_or_gone_gets_no_token_however_they_come() {
    let bed = business(&[]).await;
    let ticket = ticket_of(&bed, "lin").await;
    is_users(&bed.enter("lin", password_of("alice")).await, "alice");

    bed.change("disable", "alice", 1).await;
    let silent = bed.silent("lin").await.expect_problem(403, "user_blocked");
    assert!(
        !silent.body.contains("alice") && silent.member("detail").contains("Do not try again"),
        "{silent:?}"
    );
    bed.log_in_at(OTHER_APPID, "lin", json!({}))
        .await
        .expect_problem(403, "user_blocked");
    redeem(&bed, &ticket, &json!({}))
        .await
        .expect_problem(400, "code_used");
    bed.enter("lin", password_of("alice"))
        .await
        .expect_problem(403, "invalid_credentials");
    is_users(&bed.enter("mei", password_of("bob")).await, "bob");

    bed.change("enable", "alice", 2).await;
    is_users(&bed.silent("lin").await, "alice");
    bed.change("remove", "alice", 3).await;
    bed.silent("lin").await.expect_problem(403, "user_blocked");
    is_users(&bed.silent("mei").await, "bob");
}

#[tokio::test]
async fn where_wxmint_makes_users_a_newcomer_is_one_but_not_after_dissolving_and_only_disabling_shuts_one_out()
 {
    let bed = business(&[("WXMINT_AUTO_PROVISION", "true")]).await;
    let first = bed.silent("lin").await;
    let (made, new) = user_of(&first);
    assert!(new && made.len() == 36, "{made}");
    bed.enter("lin", password_of("alice"))
        .await
        .expect_problem(409, "already_bound");
    is_users(&bed.enter("mei", password_of("alice")).await, "alice");
    bed.change("disable", "alice", 1).await;
    bed.silent("mei").await.expect_problem(403, "user_blocked");
    assert_eq!(
        user_of(&bed.silent("lin").await),
        (made, false),
        "a user who was never in the file"
    );
    bed.change("remove", "alice", 2).await;
    is_users(&bed.silent("mei").await, "alice");

    bed.dissolve(&first).await;
    bed.silent("lin")
        .await
        .expect_problem(403, "binding_required");
    is_users(&bed.enter("lin", password_of("bob")).await, "bob");
}

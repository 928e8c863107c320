//! Answers that do not arrive, from Redis, from WeChat and to the mini program: whoever comes again finds what the
//! first attempt has made, and news is told once.

use serde_json::json;

use super::{Business, is_users, user_of};
use crate::support::{APPID, Breakable, password_of};

/// More than any login asks Redis.
const MOST_STEPS: u64 = 20;

/// Claim, record, count, uncount, intend, admit, settle, and what the unionid takes.
#[tokio::test]
async fn a_password_binds_and_a_new_user_is_made_and_told_once_whichever_answer_of_redis_is_lost() {
    let many = [("WXMINT_BINDINGS_PER_USER", "100")];
    for (environment, proof, least) in
        [(&many, password_of("alice"), 7), (&[("WXMINT_ACCOUNTS", "auto")], json!({}), 5)]
    {
        let business = Business::with(environment).await;
        business.log_in("earlier", &proof).await.expect_login();
        let mut lost = 0;
        for after in 1..=MOST_STEPS {
            let (link, person) = (business.bed.redis_link(), format!("person-{after}"));
            link.lose_answer(after);
            let (user, new) = user_of(&business.log_in(&person, &proof).await);
            assert_eq!((user == "id-of-alice", new), (environment == &many, environment != &many), "{after}");
            let has_lost = link.has_lost_answer();
            assert_eq!(user_of(&business.silent(&person).await), (user, false));
            if !has_lost {
                break;
            }
            lost = after;
        }
        assert!((least..MOST_STEPS).contains(&lost), "{lost} were lost");
    }
}

#[tokio::test]
async fn who_did_not_hear_that_they_are_bound_comes_again_with_a_new_code_and_is() {
    let business = Business::start().await;
    let phone = Breakable::before(business.bed.service().public).await;
    let ticket = business.silent("mei").await.expect_problem(403, "binding_required").member("bind_ticket");
    let (mut by_code, mut by_ticket) = (password_of("alice"), password_of("bob"));
    by_code["code"] = business.bed.mint_code("lin").await.into();
    by_code["appid"] = APPID.into();
    by_ticket["bind_ticket"] = ticket.into();
    for body in [&by_code, &by_ticket] {
        phone.lose_next_answer();
        let sent = business.bed.http.0.post(format!("{}/login", phone.url())).json(body);
        business.bed.http.try_send(sent).await.expect_err("the answer is lost");
        assert!(!phone.will_lose_answer());
        business.post(body).await.expect_problem(400, "code_used");
    }
    is_users(&business.log_in("lin", &password_of("alice")).await, "alice");
    is_users(&business.log_in("mei", &json!({})).await, "bob");
}

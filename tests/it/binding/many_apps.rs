//! One person in several mini programs of an owner: what a unionid joins, and what it leaves alone.

use super::{Business, OTHER_APPID, is_users};
use crate::support::prelude::*;

async fn conflicts(business: &Business) -> f64 {
    business.bed.service().metric("wxmint_unionid_conflicts_total").await
}

#[tokio::test]
async fn two_users_who_turn_out_to_be_one_person_are_both_kept_and_reported_once() {
    let business = Business::start().await;
    let users = [(APPID, "alice"), (OTHER_APPID, "bob")];
    for (app, name) in users {
        business.unionids(app, false).await;
        is_users(&business.log_in_at(app, "lin", &password_of(name)).await, name);
    }
    for (app, _) in users {
        business.unionids(app, true).await;
    }
    is_users(&business.log_in_at(APPID, "lin", &json!({})).await, "alice");
    assert_eq!(conflicts(&business).await, 0.0);
    let found = business.log_in_at(OTHER_APPID, "lin", &json!({})).await;
    for (app, name) in users {
        is_users(&business.log_in_at(app, "lin", &json!({})).await, name);
    }
    is_users(&found, "bob");
    assert_eq!(conflicts(&business).await, 1.0);
    let message = "one unionid, two users: both are kept; see wxmint bindings conflicts";
    let line = business.logged_of(&found, message).await;
    for (member, value) in [("level", "WARN"), ("user", "id-of-bob"), ("other", "id-of-alice")] {
        assert_eq!(line[member], value);
    }
    assert_eq!(business.logged(message).len(), 1);
}

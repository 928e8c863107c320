//! `WXMINT_ACCOUNTS_CHECK=true`: the account service is asked at each login whether the user may log in, and for
//! claims.

use super::logins::{alice, warning};
use crate::support::prelude::*;

/// Answers with which no token is made, the outcome in the metric, and a word of what the operator is told.
/// The tests of `crates/keys/src/token/extra_claims.rs` and of `src/accounts/service/answer.rs` have the rules.
const REFUSED: [(Reply, &str, &str); 3] = [
    (
        Reply::Text(r#"{"claims":{"roles":[],"\u0061ud":"https://other.example"}}"#),
        "invalid_claims",
        "the claim `aud`",
    ),
    (
        Reply::Text(r#"{"claims":{"roles":["user"],"roles":["admin"]}}"#),
        "unreadable",
        "docs/accounts.openapi.yaml",
    ),
    (Reply::Status(401), "status_4xx", "the audience"),
];

#[tokio::test(flavor = "multi_thread")]
async fn the_token_has_the_claims_of_the_service_or_there_is_none_and_whom_it_refuses_is_shut_out()
{
    let service = AccountService::start();
    let bed = TestBed::builder()
        .env("WXMINT_ACCOUNTS", &service.url())
        .env("WXMINT_ACCOUNTS_CHECK", "true");
    let bed = bed.start().await;
    bed.log_in_with("lin", alice("wonderland"))
        .await
        .expect_login();
    service.take_calls();
    let plain = bed.log_in("lin").await.claims();
    let roles = json!({"roles": ["admin", "审核"], "tenant": "north", "https://example.com/x": {"level": 3}});
    service.book().set_claims("user-alice", roles.clone());
    let claims = bed.log_in("lin").await.claims();
    for (name, value) in roles.as_object().expect("an object") {
        assert_eq!((&claims[name], plain.get(name)), (value, None));
    }
    for name in ["iss", "sub", "aud", "client_id"] {
        assert_eq!(claims[name], plain[name]);
    }
    let members = |claims: &Value| claims.as_object().expect("an object").len();
    assert_eq!(members(&claims), members(&plain) + 3);

    let calls = service.take_calls();
    let asked: Vec<_> = calls
        .iter()
        .map(|call| (call.path.as_str(), call.json()))
        .collect();
    let question = (
        "/wxmint/login-checks",
        json!({"client_id": APPID, "user_id": "user-alice"}),
    );
    assert_eq!(
        asked,
        [question.clone(), question],
        "one call for each login"
    );
    service.book().set_claims("user-alice", json!({}));
    assert_eq!(members(&bed.log_in("lin").await.claims()), members(&plain));

    let counted = async |outcome: &str| {
        let labels = format!("{{call=\"check_login\",outcome=\"{outcome}\"}}");
        bed.service()
            .metric(&format!(
                "wxmint_accounts_request_duration_seconds_count{labels}"
            ))
            .await
    };
    for (reply, outcome, word) in REFUSED {
        service.misbehave(reply.clone());
        let answer = bed
            .log_in("lin")
            .await
            .expect_problem(503, "accounts_unavailable");
        assert_eq!(counted(outcome).await, 1.0, "{reply:?}");
        let event = warning(&bed, &answer.member("request_id")).await;
        assert!(
            event.contains(word) && !event.contains("other.example"),
            "{reply:?}: {event}"
        );
    }
    service.heal();
    bed.log_in("lin").await.expect_login();

    service.book().shut_out("user-alice");
    let refused = bed.log_in("lin").await.expect_problem(403, "user_blocked");
    assert!(!refused.body.contains("alice"), "{refused:?}");
    bed.log_in_with("mei", alice("wonderland"))
        .await
        .expect_problem(403, "user_blocked");
    bed.log_in("mei")
        .await
        .expect_problem(403, "binding_required");
    assert_eq!(counted("ok").await, 7.0);
}

//! The body of `POST /login` as a form, and the query of `GET /login`.

#![no_main]

use libfuzzer_sys::fuzz_target;
use wxmint::issuer::{LoginBody, RefusedLogin};
use wxmint_fuzz::{check_login, is_the_same};
use wxmint_http::RefusedBody;

fuzz_target!(|text: &str| {
    let by_form = LoginBody::from_form(text.as_bytes());
    let by_query = LoginBody::from_query(text);
    let dangerously = LoginBody::from_query_with_dangerous_password(text);
    check_login(&by_form);
    check_login(&by_query);
    assert!(is_the_same(&by_form, &dangerously), "one login, read in two ways: {by_form:?}, {dangerously:?}");
    if !matches!(by_query, Err(RefusedLogin::CredentialsInQuery(_))) {
        assert!(is_the_same(&by_form, &by_query), "one login, read in two ways: {by_form:?}, {by_query:?}");
    }
    if text.starts_with("password=") || text.contains("&password=") {
        let refused = LoginBody::from_query(text).expect_err("a password in a query is refused");
        assert!(is_refusal(&refused, "method: 'POST'"), "{refused}");
        let beside_body = LoginBody::refuse_password_beside_body(text).expect_err("a password in a POST's query");
        assert!(is_refusal(&beside_body, "beside `code`"), "{beside_body}");
    }
});

fn is_refusal(refused: &RefusedLogin, advised: &str) -> bool {
    match refused {
        RefusedLogin::CredentialsInQuery(advice) => advice.contains(advised),
        other => matches!(other, RefusedLogin::Body(RefusedBody::Twice(_))),
    }
}

//! The body of `POST /login` as a form, and the query of `GET /login`.

#![no_main]

use libfuzzer_sys::fuzz_target;
use wxmint::issuer::LoginBody;
use wxmint_fuzz::{check_login, is_the_same};
use wxmint_http::{Problem, ProblemCode};

fuzz_target!(|text: &str| {
    let by_form = LoginBody::from_form(text.as_bytes());
    let by_query = LoginBody::from_query(text, false);
    let dangerously = LoginBody::from_query(text, true);
    check_login(&by_form);
    check_login(&by_query);
    // A form that has no code is told another cause of that.
    let is_one = is_the_same(&by_form, &dangerously) || by_form.is_err() && dangerously.is_err();
    assert!(
        is_one,
        "one login, read in two ways: {by_form:?}, {dangerously:?}"
    );
    if by_query
        .as_ref()
        .err()
        .is_none_or(|refused| refused.code != ProblemCode::CredentialsInQuery)
    {
        assert!(
            is_the_same(&dangerously, &by_query),
            "one login, read in two ways: {dangerously:?}, {by_query:?}"
        );
    }
    if text.starts_with("password=") || text.contains("&password=") {
        let refused =
            LoginBody::from_query(text, false).expect_err("a password in a query is refused");
        assert!(is_refusal(&refused, "method: 'POST'"), "{refused:?}");
        let beside_body =
            LoginBody::refuse_password_beside_body(text).expect_err("a password in a POST's query");
        assert!(is_refusal(&beside_body, "beside `code`"), "{beside_body:?}");
    }
});

fn is_refusal(refused: &Problem, advised: &str) -> bool {
    match refused.code {
        ProblemCode::CredentialsInQuery => refused.detail.contains(advised),
        _ => refused.detail.contains("appears twice"),
    }
}

//! The body of `POST /login` as a form, and the query of `GET /login`.

#![no_main]

use libfuzzer_sys::fuzz_target;
use wxmint::issuer::{LoginFields, RefusedBody, RefusedLogin};
use wxmint_fuzz::{check_login, is_the_same};

fuzz_target!(|text: &str| {
    let by_form = LoginFields::from_form(text.as_bytes()).and_then(LoginFields::into_request);
    let by_query = LoginFields::from_query(text).and_then(LoginFields::into_request);
    let dangerously = LoginFields::from_query_with_dangerous_password(text).and_then(LoginFields::into_request);
    check_login(&by_form);
    check_login(&by_query);
    assert!(is_the_same(&by_form, &dangerously), "one login, read in two ways: {by_form:?}, {dangerously:?}");
    if !matches!(by_query, Err(RefusedLogin::CredentialsInQuery)) {
        assert!(is_the_same(&by_form, &by_query), "one login, read in two ways: {by_form:?}, {by_query:?}");
    }
    if text.starts_with("password=") || text.contains("&password=") {
        let refused = LoginFields::from_query(text).err().expect("a password in a query is refused");
        assert!(
            matches!(refused, RefusedLogin::CredentialsInQuery | RefusedLogin::Body(RefusedBody::Twice(_))),
            "{refused}"
        );
        let beside_body = LoginFields::refuse_password_beside_body(text).expect_err("a password in a POST's query");
        assert!(
            matches!(beside_body, RefusedLogin::CredentialsBesideBody | RefusedLogin::Body(RefusedBody::Twice(_))),
            "{beside_body}"
        );
    }
});

//! The body of `POST /login` as a form, and the query of `GET /login`.

#![no_main]

use libfuzzer_sys::fuzz_target;
use wxmint::issuer::{LoginFields, RefusedLogin};
use wxmint_fuzz::check_login;

fuzz_target!(|text: &str| {
    let by_form = LoginFields::from_form(text.as_bytes()).and_then(LoginFields::into_request);
    let by_query = LoginFields::from_query(text).and_then(LoginFields::into_request);
    check_login(&by_form);
    check_login(&by_query);
    match (by_form, by_query) {
        (Ok(by_form), Ok(by_query)) => {
            assert_eq!((by_form.code, by_form.app), (by_query.code, by_query.app));
        }
        (Err(_), Err(_)) => {}
        (by_form, by_query) => panic!("one login, read in two ways: {by_form:?}, {by_query:?}"),
    }
    if text.starts_with("password=") || text.contains("&password=") {
        let refused = LoginFields::from_query(text).expect_err("a password in a query");
        assert!(matches!(refused, RefusedLogin::CredentialsInQuery | RefusedLogin::Twice(_)), "{refused}");
    }
});

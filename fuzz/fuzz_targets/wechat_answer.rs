//! Responses of WeChat, or garbage in their place.

#![no_main]

use libfuzzer_sys::fuzz_target;
use wxmint_wechat::{
    Api, CallError, read_access_token, read_grant, read_new_session_key, read_phone_number,
    read_session, read_session_check,
};

/// Seeds contain these in place of secrets: a `session_key`, an access token, a phone number.
const MARKED: &str = "hunter2";
const PHONE_MARKED: &str = "13580006666";

fuzz_target!(|body: &[u8]| {
    let session = read_session(Api::Code2Session, body);
    prints_nothing(&format!("{session:?}"));
    match session {
        Ok(session) => {
            assert!(!session.openid.as_str().is_empty());
            assert!(
                session
                    .session_key
                    .is_some_and(|key| !key.expose().is_empty())
            );
            assert!(
                session
                    .unionid
                    .is_none_or(|unionid| !unionid.as_str().is_empty())
            );
        }
        Err(error) => is_fit_to_log(error),
    }

    let fetched = read_access_token(Api::StableToken, body);
    prints_nothing(&format!("{fetched:?}"));
    match fetched {
        Ok(fetched) => {
            assert!(
                !fetched.token.expose().is_empty()
                    && (1..=7200).contains(&fetched.expires_in.as_secs())
            );
        }
        Err(error) => is_fit_to_log(error),
    }

    let grant = read_grant(Api::Oauth2, body);
    prints_nothing(&format!("{grant:?}"));
    match grant {
        Ok(_) | Err(CallError::SnapshotUser) => {}
        Err(error) => is_fit_to_log(error),
    }

    let phone = read_phone_number(&"wx0123456789abcdef".parse().expect("an AppID"), body);
    prints_nothing(&format!("{phone:?}"));
    match phone {
        Ok(phone) => assert!(
            [phone.number, phone.pure_number, phone.country_code]
                .iter()
                .all(|part| {
                    part.len() <= 24
                        && part.bytes().any(|byte| byte.is_ascii_digit())
                        && !part.contains(['"', '\\', '<'])
                })
        ),
        Err(error) => is_fit_to_log(error),
    }

    if let Err(error) = read_session_check(body) {
        is_fit_to_log(error);
    }
    let key = read_new_session_key(
        &"o6_bmjrPTlm6_2sgVt7hMZOPfL2M".parse().expect("an openid"),
        body,
    );
    prints_nothing(&format!("{key:?}"));
    match key {
        Ok(key) => assert!(!key.expose().is_empty()),
        Err(error) => is_fit_to_log(error),
    }
});

/// Only WeChat's own `errmsg` may be logged.
fn prints_nothing(debug: &str) {
    if !debug.contains("Refused") {
        assert!(
            !debug.contains(MARKED) && !debug.contains(PHONE_MARKED),
            "{debug}"
        );
    }
}

fn is_fit_to_log(error: CallError) {
    match error {
        CallError::Refused {
            errcode, errmsg, ..
        } => {
            assert!(
                errcode != 0 && errmsg.chars().count() <= 200,
                "{errcode} {errmsg}"
            );
            assert!(
                !errmsg.chars().any(char::is_control),
                "a message can forge a log line: {errmsg:?}"
            );
        }
        CallError::Unanswered { reason } | CallError::Unusable { reason } => {
            assert!(!reason.is_empty());
        }
        error @ (CallError::NotSent { .. } | CallError::SnapshotUser) => {
            panic!("an answer was read: {error}")
        }
    }
}

//! WeChat's answer to code2Session, or whatever came in its place.

#![no_main]

use libfuzzer_sys::fuzz_target;
use wxmint::wechat::{ExchangeError, read_answer};

/// Of seeds that stand for a session_key.
const MARKED: &str = "hunter2";

fuzz_target!(|body: &[u8]| {
    let answer = read_answer(body);
    let printed = format!("{answer:?}");
    match answer {
        Ok(session) => {
            assert!(!session.openid.as_str().is_empty() && !session.session_key.expose().is_empty());
            assert!(session.unionid.is_none_or(|unionid| !unionid.as_str().is_empty()));
            assert!(!printed.contains(MARKED), "{printed}");
        }
        Err(ExchangeError::Refused { errcode, errmsg, .. }) => {
            assert!(errcode != 0 && errmsg.chars().count() <= 200, "{errcode} {errmsg}");
            assert!(!errmsg.chars().any(char::is_control), "a message can forge a log line: {errmsg:?}");
        }
        Err(ExchangeError::Unanswered { reason }) => {
            assert!(!reason.is_empty() && !reason.contains(MARKED) && !printed.contains(MARKED), "{printed}");
        }
        Err(error @ ExchangeError::NotSent { .. }) => panic!("an answer was read: {error}"),
    }
});

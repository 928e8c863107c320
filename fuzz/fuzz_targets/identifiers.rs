//! Every accepted identifier can stand in a Redis key, a log line and a URL, and is unchanged.

#![no_main]

use std::fmt::Debug;

use libfuzzer_sys::fuzz_target;
use wxmint::apps::app_of_referer;
use wxmint_ids::{AppId, InvalidId, LoginCode, OpenId, UnionId, UserId};

/// Seeds contain this in place of a misplaced secret.
const MARKED: &str = "hunter2";

fuzz_target!(|text: &str| {
    check(
        text,
        text.parse::<AppId>(),
        AppId::as_str,
        AppId::MAX_LEN,
        |byte| word(byte) || byte == b'.',
    );
    check(
        text,
        text.parse::<OpenId>(),
        OpenId::as_str,
        OpenId::MAX_LEN,
        word,
    );
    check(
        text,
        text.parse::<UnionId>(),
        UnionId::as_str,
        UnionId::MAX_LEN,
        word,
    );
    check(
        text,
        text.parse::<UserId>(),
        UserId::as_str,
        UserId::MAX_LEN,
        |byte| (b'!'..=b'~').contains(&byte),
    );
    check(
        text,
        text.parse::<LoginCode>(),
        LoginCode::as_str,
        LoginCode::MAX_LEN,
        |byte| (b' '..=b'~').contains(&byte),
    );
    if let Some(app) = app_of_referer(text) {
        assert!(
            text.starts_with(&format!("https://servicewechat.com/{app}/"))
                && text.ends_with("/page-frame.html")
        );
    }
    for printed in [
        format!("{:?}", text.parse::<OpenId>()),
        format!("{:?}", text.parse::<LoginCode>()),
    ] {
        assert!(
            !printed.contains(MARKED),
            "an identifier that must not print: {printed}"
        );
    }
});

fn word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_-".contains(&byte)
}

/// An identifier is accepted if and only if it has the type's length and alphabet, and then unchanged.
fn check<T: Debug>(
    text: &str,
    parsed: Result<T, InvalidId>,
    as_str: fn(&T) -> &str,
    limit: usize,
    allowed: fn(u8) -> bool,
) {
    let fits = (1..=limit).contains(&text.len()) && text.bytes().all(allowed);
    match parsed {
        Ok(id) => assert!(fits && as_str(&id) == text, "{text:?} was taken for {id:?}"),
        Err(error) => assert!(
            !fits && !error.to_string().contains(MARKED),
            "{text:?} was refused: {error}"
        ),
    }
}

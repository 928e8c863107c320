//! The same for what wants a token.

use super::Expected::Problem;
use super::{
    CODE_INVALID, Case, Expected, INVALID, JSON, LONG_HEAD, MARKED, NOT_FOUND, SLOW_BODY, TOO_LARGE,
};
use super::{head_of, other_methods};
use crate::user_data::{LOGOUT, PHONE, USER_DATA, endpoints};

const NO_TOKEN: Expected = Problem(401, "invalid_token");
const UNDECRYPTABLE: Expected = Problem(422, "decryption_failed");

/// base64 of one block.
const BLOCK: &str = "AAECAwQFBgcICQoLDA0ODw==";

/// All of it but what is slow. `token` is good, and will be no less so afterwards.
pub(super) fn cases(token: &str) -> Vec<Case> {
    let headers = headers(token);
    let bodies = bodies()
        .into_iter()
        .map(|(path, body, expected)| Case::post_to(path, &headers, &body, expected));
    methods()
        .into_iter()
        .chain(tokens(token))
        .chain(bodies)
        .collect()
}

/// A body that does not arrive.
pub(super) fn slow(token: &str) -> Vec<Case> {
    let slow = |path| {
        let head = head_of(
            "POST",
            path,
            &format!("{}Content-Length: 100\r\n", headers(token)),
        );
        let request = format!("{head}{{\"{MARKED}{}", "x".repeat(90));
        Case::new(
            format!("a slow body for {path}"),
            request,
            Problem(408, "invalid_request"),
        )
        .slowly(head.len() + 1, SLOW_BODY)
    };
    [USER_DATA, PHONE, LOGOUT].map(slow).into()
}

fn headers(token: &str) -> String {
    format!("Authorization: Bearer {token}\r\nContent-Type: {JSON}\r\n")
}

fn methods() -> Vec<Case> {
    let mut cases = Vec::new();
    for (own, path, _) in endpoints() {
        cases.extend(other_methods(path, own));
        cases.push(Case::asked(own, &format!("{path}/"), NOT_FOUND));
    }
    cases
}

/// Nothing that is wrong with a token lets its body be read. crates/http/src/bearer.rs has each form of the header.
fn tokens(token: &str) -> Vec<Case> {
    let mut cases = Vec::new();
    for (method, path, _) in endpoints() {
        for (headers, expected) in [
            (String::new(), NO_TOKEN),
            (format!("Authorization: Basic {MARKED}\r\n"), NO_TOKEN),
            (
                format!("Authorization: Bearer {}\r\n", "hunter2.".repeat(800)),
                NO_TOKEN,
            ),
            (format!("Authorization: Bearer {token}x\r\n"), NO_TOKEN),
            (format!("Cookie: access_token={token}\r\n"), NO_TOKEN),
            (
                format!("Authorization: Bearer {token}\r\nAuthorization: Bearer {token}\r\n"),
                INVALID,
            ),
            (
                format!("Authorization: Bearer {}\r\n", MARKED.repeat(1400)),
                LONG_HEAD,
            ),
        ] {
            cases.push(Case::new(
                format!("{path}: {headers:.60}"),
                head_of(method, path, &headers),
                expected,
            ));
        }
        let in_url = head_of(
            method,
            &format!("{path}?access_token={token}"),
            &headers(token),
        );
        cases.push(Case::new(
            format!("{path}: a token in the URL"),
            in_url,
            INVALID,
        ));
    }
    cases
}

/// No endpoint takes these for an object of texts.
fn no_objects() -> Vec<Vec<u8>> {
    let texts: [&[u8]; 4] = [
        b"[]",
        b"code=hunter2&iv=hunter2&everywhere=true",
        b"{} hunter2",
        b"{\"hunter2\":\"\xff\"}",
    ];
    let deep = ["[", "{\"x\":"].map(|deep| deep.repeat(2_000).into_bytes());
    texts.into_iter().map(<[u8]>::to_vec).chain(deep).collect()
}

/// No empty body and no empty object for a logout, by which one logs out.
fn bodies() -> Vec<(&'static str, Vec<u8>, Expected)> {
    let sealed = |data: &str, iv: &str| format!(r#"{{"encryptedData":"{data}","iv":"{iv}"}}"#);
    let long = |length: usize| "A".repeat(length);
    let deep = format!("{}1{}", "[".repeat(10_000), "]".repeat(10_000));
    let texts = [
        (USER_DATA, String::new(), INVALID),
        (
            USER_DATA,
            format!(r#"{{"encryptedData":12,"iv":"{BLOCK}"}}"#),
            INVALID,
        ),
        (
            USER_DATA,
            sealed("hunter2 hunter2+==", BLOCK),
            UNDECRYPTABLE,
        ),
        (
            USER_DATA,
            format!(r#"{{"encryptedData":"{BLOCK}","iv":"{BLOCK}","i\u0076":"{BLOCK}"}}"#),
            INVALID,
        ),
        (
            USER_DATA,
            format!(r#"{{"rawData":"hunter2","iv":"{BLOCK}"}}"#),
            INVALID,
        ),
        (
            USER_DATA,
            sealed(&long(120 * 1024 + 3), BLOCK),
            UNDECRYPTABLE,
        ),
        (USER_DATA, sealed(&long(128 * 1024), BLOCK), TOO_LARGE),
        (USER_DATA, long(1024 * 1024), TOO_LARGE),
        (USER_DATA, sealed(BLOCK, BLOCK), UNDECRYPTABLE),
        // A member that nobody reads may be as deep as it likes.
        (
            USER_DATA,
            sealed(BLOCK, BLOCK).replacen('{', &format!("{{\"x\":{deep},"), 1),
            UNDECRYPTABLE,
        ),
        (
            USER_DATA,
            format!(
                r#"{{"rawData":"hunter2","signature":"{}"}}"#,
                "0".repeat(40)
            ),
            UNDECRYPTABLE,
        ),
        (PHONE, String::new(), INVALID),
        (PHONE, "{}".into(), INVALID),
        (
            PHONE,
            r#"{"code":"hunter2","code":"hunter2"}"#.into(),
            INVALID,
        ),
        (
            PHONE,
            format!(r#"{{"code":"{}"}}"#, MARKED.repeat(100)),
            INVALID,
        ),
        (
            PHONE,
            format!(r#"{{"code":"a","x":"{}"}}"#, long(16 * 1024)),
            TOO_LARGE,
        ),
        (PHONE, r#"{"code":"hunter2"}"#.into(), CODE_INVALID),
        (LOGOUT, r#"{"everywhere":"hunter2"}"#.into(), INVALID),
        (
            LOGOUT,
            r#"{"everywhere":true,"everywhere":false}"#.into(),
            INVALID,
        ),
        (
            LOGOUT,
            format!(r#"{{"everywhere":true,"x":"{}"}}"#, long(16 * 1024)),
            TOO_LARGE,
        ),
    ];
    let no_objects = [USER_DATA, PHONE, LOGOUT].map(|path| {
        no_objects()
            .into_iter()
            .map(move |body| (path, body, INVALID))
    });
    let texts = texts
        .into_iter()
        .map(|(path, body, expected)| (path, body.into_bytes(), expected));
    no_objects.into_iter().flatten().chain(texts).collect()
}

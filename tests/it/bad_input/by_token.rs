//! The same for what wants a token.

use super::Expected::{Problem, Use};
use super::{Case, Expected, INVALID, JSON, LONG_HEAD, MARKED, SLOW_BODY, TOO_LARGE, head_of};

const NO_TOKEN: Expected = Problem(401, "invalid_token");
const UNDECRYPTABLE: Expected = Problem(422, "data_undecryptable");
const CODE_INVALID: Expected = Problem(400, "code_invalid");

const USER_DATA: &str = "/wechat/userdata";
const PHONE: &str = "/wechat/phone";
const LOGOUT: &str = "/logout";
/// Each with its only method.
const ENDPOINTS: [(&str, &str); 6] = [
    ("POST", USER_DATA),
    ("POST", PHONE),
    ("GET", "/wechat/session"),
    ("POST", "/wechat/session/reset"),
    ("POST", LOGOUT),
    ("DELETE", "/binding"),
];
/// base64 of one block.
const BLOCK: &str = "AAECAwQFBgcICQoLDA0ODw==";

/// All of it but what is slow. `token` is good, and will be no less so afterwards.
pub(super) fn cases(token: &str) -> Vec<Case> {
    let by_token = |(path, body, expected): (&str, Vec<u8>, Expected)| post(path, token, &body, expected);
    let bodies = [user_data(), phone(), logout()].concat();
    [methods(), tokens(token), bodies.into_iter().map(by_token).collect()].into_iter().flatten().collect()
}

/// A body that does not arrive.
pub(super) fn slow(token: &str) -> Vec<Case> {
    let slow = |path| {
        let head = head_of("POST", path, &format!("{}Content-Length: 100\r\n", headers(token)));
        let request = format!("{head}{{\"{MARKED}{}", "x".repeat(90));
        Case::new(format!("a slow body for {path}"), request, Problem(408, "invalid_request"))
            .slowly(head.len() + 1, SLOW_BODY)
    };
    [USER_DATA, PHONE, LOGOUT].map(slow).into()
}

fn headers(token: &str) -> String {
    format!("Authorization: Bearer {token}\r\nContent-Type: {JSON}\r\n")
}

fn post(path: &str, token: &str, body: &[u8], expected: Expected) -> Case {
    let head = head_of("POST", path, &format!("{}Content-Length: {}\r\n", headers(token), body.len()));
    let shown = String::from_utf8_lossy(&body[..body.len().min(60)]).into_owned();
    Case::new(format!("{path}: {shown}"), [head.as_bytes(), body].concat(), expected)
}

fn methods() -> Vec<Case> {
    let mut cases = Vec::new();
    for (own, path) in ENDPOINTS {
        for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"] {
            if method != own {
                cases.push(Case::asked(method, path, Use(own)));
            }
        }
        cases.push(Case::asked(own, &format!("{path}/"), Problem(404, "invalid_request")));
    }
    cases
}

/// Nothing that is wrong with a token lets its body be read. crates/http/src/bearer.rs has each form of the header.
fn tokens(token: &str) -> Vec<Case> {
    let mut cases = Vec::new();
    for (method, path) in ENDPOINTS {
        for (headers, expected) in [
            (String::new(), NO_TOKEN),
            (format!("Authorization: Basic {MARKED}\r\n"), NO_TOKEN),
            (format!("Authorization: Bearer {}\r\n", "hunter2.".repeat(800)), NO_TOKEN),
            (format!("Authorization: Bearer {token}x\r\n"), NO_TOKEN),
            (format!("Cookie: access_token={token}\r\n"), NO_TOKEN),
            (format!("Authorization: Bearer {token}\r\nAuthorization: Bearer {token}\r\n"), INVALID),
            (format!("Authorization: Bearer {}\r\n", MARKED.repeat(1400)), LONG_HEAD),
        ] {
            cases.push(Case::new(format!("{path}: {headers:.60}"), head_of(method, path, &headers), expected));
        }
        let in_url = head_of(method, &format!("{path}?access_token={token}"), &headers(token));
        cases.push(Case::new(format!("{path}: a token in the URL"), in_url, INVALID));
    }
    cases
}

/// No endpoint takes these for an object of texts.
fn no_objects() -> Vec<Vec<u8>> {
    let texts: [&[u8]; 4] =
        [b"[]", b"code=hunter2&iv=hunter2&everywhere=true", b"{} hunter2", b"{\"hunter2\":\"\xff\"}"];
    let mut bodies: Vec<Vec<u8>> = texts.iter().map(|text| text.to_vec()).collect();
    bodies.extend(["[", "{\"x\":"].map(|deep| deep.repeat(2_000).into_bytes()));
    bodies
}

fn of(path: &'static str, bodies: Vec<(String, Expected)>) -> Vec<(&'static str, Vec<u8>, Expected)> {
    let no_objects = no_objects().into_iter().map(|body| (path, body, INVALID));
    no_objects.chain(bodies.into_iter().map(|(body, expected)| (path, body.into_bytes(), expected))).collect()
}

fn user_data() -> Vec<(&'static str, Vec<u8>, Expected)> {
    let sealed = |data: &str, iv: &str| format!(r#"{{"encryptedData":{data},"iv":{iv}}}"#);
    let texts = |data: &str, iv: &str| sealed(&format!("\"{data}\""), &format!("\"{iv}\""));
    let long = |length: usize| "A".repeat(length);
    let deep = format!("{}1{}", "[".repeat(10_000), "]".repeat(10_000));
    of(
        USER_DATA,
        vec![
            (String::new(), INVALID),
            (sealed("12", &format!("\"{BLOCK}\"")), INVALID),
            (texts("hunter2 hunter2+==", BLOCK), UNDECRYPTABLE),
            (format!(r#"{{"encryptedData":"{BLOCK}","iv":"{BLOCK}","i\u0076":"{BLOCK}"}}"#), INVALID),
            (format!(r#"{{"rawData":"hunter2","iv":"{BLOCK}"}}"#), INVALID),
            (texts(&long(120 * 1024 + 3), BLOCK), UNDECRYPTABLE),
            (texts(&long(128 * 1024), BLOCK), TOO_LARGE),
            (long(1024 * 1024), TOO_LARGE),
            (texts(BLOCK, BLOCK), UNDECRYPTABLE),
            // A member that nobody reads may be as deep as it likes.
            (texts(BLOCK, BLOCK).replacen('{', &format!("{{\"x\":{deep},"), 1), UNDECRYPTABLE),
            (format!(r#"{{"rawData":"hunter2","signature":"{}"}}"#, "0".repeat(40)), UNDECRYPTABLE),
        ],
    )
}

fn phone() -> Vec<(&'static str, Vec<u8>, Expected)> {
    of(
        PHONE,
        vec![
            (String::new(), INVALID),
            ("{}".into(), INVALID),
            (r#"{"code":"hunter2","code":"hunter2"}"#.into(), INVALID),
            (format!(r#"{{"code":"{}"}}"#, MARKED.repeat(100)), INVALID),
            (format!(r#"{{"code":"a","x":"{}"}}"#, "x".repeat(16 * 1024)), TOO_LARGE),
            (r#"{"code":"hunter2"}"#.into(), CODE_INVALID),
        ],
    )
}

/// No empty body and no empty object, by which one logs out.
fn logout() -> Vec<(&'static str, Vec<u8>, Expected)> {
    of(
        LOGOUT,
        vec![
            (r#"{"everywhere":"hunter2"}"#.into(), INVALID),
            (r#"{"everywhere":true,"everywhere":false}"#.into(), INVALID),
            (format!(r#"{{"everywhere":true,"x":"{}"}}"#, "x".repeat(16 * 1024)), TOO_LARGE),
        ],
    )
}

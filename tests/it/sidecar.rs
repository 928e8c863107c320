//! `wxmint sidecar` from outside: the tokens of real logins and of forgers, an issuer that is away or hostile, floods,
//! rotations.

mod answers;
mod claims;
#[path = "../peers/forge.rs"]
pub(crate) mod forge;
mod hostile;
#[expect(
    dead_code,
    reason = "the stand-in of tests/peers, of which a part is needed"
)]
#[path = "../peers/revoked/issuer.rs"]
mod issuer;
mod issuers;
mod revoked;
mod secrets;
mod signer;
mod starting;

use self::signer::Signer;
use crate::support::Received;

const LONG: u64 = 600;

const IDENTITY: [&str; 3] = ["x-user-id", "x-client-id", "x-token-id"];

/// The values of all lines of a header, as they came.
fn values<'a>(received: &'a str, name: &str) -> Vec<&'a str> {
    let head = received
        .split_once("\r\n\r\n")
        .map_or(received, |(head, _)| head);
    let named = |line: &'a str| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then(|| value.trim())
    };
    head.lines().filter_map(named).collect()
}

/// A 200, and whom it names; each header once.
#[track_caller]
fn named(what: &str, received: &Received) -> [String; 3] {
    told(what, received, IDENTITY)
}

/// A 200, and what it says in these headers; each of them once.
#[track_caller]
fn told<const N: usize>(what: &str, received: &Received, names: [&str; N]) -> [String; N] {
    let text = received.text();
    assert_eq!(received.status(), Some(200), "{what}: {text}");
    names.map(|name| match values(&text, name)[..] {
        [value] => value.to_owned(),
        _ => panic!("{what}: {name} is not there once: {text}"),
    })
}

/// A 401 that says so in `WWW-Authenticate`, and names nobody.
#[track_caller]
fn refused(what: &str, received: &Received, challenge: &str) {
    let text = received.text();
    assert_eq!(received.status(), Some(401), "{what}: {text}");
    let challenges = values(&text, "www-authenticate");
    let [found] = challenges[..] else {
        panic!("{what}: not one challenge: {text}")
    };
    // Alone, or with its description.
    assert!(
        found == challenge || found.starts_with(&format!("{challenge}, error_description=")),
        "{what}: {text}"
    );
    assert!(
        IDENTITY.iter().all(|name| values(&text, name).is_empty()),
        "{what}: {text}"
    );
}

const NO_TOKEN: &str = "Bearer";
const INVALID_TOKEN: &str = r#"Bearer error="invalid_token""#;
const INVALID_REQUEST: &str = r#"Bearer error="invalid_request""#;

//! `wxmint keys`, as an operator runs it.

use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::Value;

use super::{BUSY, Ended, TestBed, wxmint};

/// `wxmint keys WORDS --keys FILE`, with nothing of our environment.
pub(crate) fn keys_command(file: &Path, words: &[&str]) -> Command {
    let mut command = wxmint();
    command
        .arg("keys")
        .args(words)
        .arg("--keys")
        .arg(file)
        .env_clear();
    command
}

/// Runs it where it must succeed; returns what it says.
#[track_caller]
pub(crate) fn keys(file: &Path, words: &[&str]) -> String {
    Ended::of(&mut keys_command(file, words), "")
        .expect_success()
        .said()
}

pub(crate) fn said(output: &Output) -> String {
    [&output.stdout[..], &output.stderr[..]]
        .map(String::from_utf8_lossy)
        .concat()
}

/// The private members of a key file, none of which may be shown anywhere.
pub(crate) fn private_parts(file: &[u8]) -> Vec<String> {
    let set: Value = serde_json::from_slice(file).expect("JSON");
    let keys = set["keys"].as_array().expect("keys").clone();
    keys.iter()
        .map(|key| key["d"].as_str().expect("d").to_owned())
        .collect()
}

/// The header and the claims of a token.
pub(crate) fn decoded(token: &str) -> (Value, Value) {
    let parts: Vec<&str> = token.split('.').collect();
    assert_eq!(parts.len(), 3, "{token}");
    let part = |number: usize| {
        let json = URL_SAFE_NO_PAD
            .decode(parts[number])
            .expect("base64url without padding");
        serde_json::from_slice(&json).expect("JSON")
    };
    (part(0), part(1))
}

pub(crate) fn kid_of(token: &str) -> String {
    decoded(token).0["kid"].as_str().expect("a kid").to_owned()
}

/// The kid of a new login's token.
pub(crate) async fn signs(bed: &TestBed) -> String {
    kid_of(
        &bed.log_in("lin")
            .await
            .expect_login()
            .member("access_token"),
    )
}

/// docs/keys.md, and the pages of users and of apps: "reads the file again within 5 s of a change".
pub(crate) const READ_AGAIN_WITHIN: Duration = BUSY.saturating_add(Duration::from_secs(5));

/// The ids of the keys that the service publishes.
pub(crate) async fn jwks_kids(bed: &TestBed) -> Vec<String> {
    kids_of(&bed.service().get("/.well-known/jwks.json").await.json())
}

pub(crate) fn kids_of(jwks: &Value) -> Vec<String> {
    jwks["keys"]
        .as_array()
        .expect("keys")
        .iter()
        .map(|key| key["kid"].as_str().expect("a kid").to_owned())
        .collect()
}

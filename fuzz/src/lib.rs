//! This must hold for the fields of a login, in JSON and in a form.

use wxmint::login::{Credentials, LoginProof, LoginRequest};
use wxmint_http::Problem;

/// Seeds contain this in place of a password in the wrong field.
const MARKED: &str = "hunter2";

/// An accepted login has a code of visible ASCII or a ticket, an app that can stand in a Redis key, and a name and a
/// password within their limits. A refusal is a sentence. Neither the refusal nor any `Debug` text repeats the input.
pub fn check_login(asked: &Result<LoginRequest, Problem>) {
    assert!(!format!("{asked:?}").contains(MARKED) || asked.as_ref().is_ok_and(names_it));
    match asked {
        Ok(asked) => {
            if let LoginProof::Code(code) = &asked.proof {
                assert!(is_visible(code.as_str()));
            }
            match &asked.credentials {
                Credentials::Nothing => {}
                Credentials::Password(name, password) => {
                    assert!((1..=512).contains(&name.as_str().chars().count()));
                    assert!((1..=1024).contains(&password.expose().chars().count()));
                }
                Credentials::Phone(code) => assert!(is_visible(code.as_str())),
            }
            let app = asked.app.as_ref().map_or("-", |app| app.as_str());
            assert!(
                !app.is_empty()
                    && app
                        .bytes()
                        .all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte))
            );
        }
        Err(refused) => {
            let said = &refused.detail;
            assert!(said.len() > 10 && !said.contains(MARKED), "{said}");
        }
    }
}

/// Whether two results are equal, as far as they can be compared.
pub fn is_the_same(
    one: &Result<LoginRequest, Problem>,
    other: &Result<LoginRequest, Problem>,
) -> bool {
    match (one, other) {
        (Ok(one), Ok(other)) => {
            let proofs = match (&one.proof, &other.proof) {
                (LoginProof::Code(one), LoginProof::Code(other)) => one == other,
                (LoginProof::Ticket(one), LoginProof::Ticket(other)) => one == other,
                _ => false,
            };
            let identities = match (&one.credentials, &other.credentials) {
                (Credentials::Nothing, Credentials::Nothing) => true,
                (Credentials::Phone(one), Credentials::Phone(other)) => one == other,
                (Credentials::Password(one, first), Credentials::Password(other, second)) => {
                    one == other && first.expose() == second.expose()
                }
                _ => false,
            };
            proofs && identities && one.app == other.app
        }
        (Err(one), Err(other)) => one == other,
        _ => false,
    }
}

fn is_visible(code: &str) -> bool {
    (1..=256).contains(&code.len()) && code.bytes().all(|byte| (b' '..=b'~').contains(&byte))
}

/// An AppID is public and may be printed.
fn names_it(asked: &LoginRequest) -> bool {
    asked
        .app
        .as_ref()
        .is_some_and(|app| app.as_str().contains(MARKED))
}

//! What holds of a login's fields in whichever form they came.

use wxmint::{issuer::RefusedLogin, login::LoginRequest};

/// Of seeds that stand for a password in the wrong field.
const MARKED: &str = "hunter2";

/// An accepted login has a code of visible ASCII and an app that can stand in a Redis key. A refusal is a sentence, and
/// neither it nor any Debug text repeats what was sent.
pub fn check_login(asked: &Result<LoginRequest, RefusedLogin>) {
    assert!(!format!("{asked:?}").contains(MARKED) || asked.as_ref().is_ok_and(names_it));
    match asked {
        Ok(asked) => {
            let code = asked.code.as_str();
            assert!((1..=256).contains(&code.len()) && code.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
            let app = asked.app.as_ref().map_or("-", |app| app.as_str());
            assert!(!app.is_empty() && app.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte)));
        }
        Err(refused) => {
            let said = refused.to_string();
            assert!(said.len() > 10 && !said.contains(MARKED), "{said}");
        }
    }
}

/// An AppID is public and prints.
fn names_it(asked: &LoginRequest) -> bool {
    asked.app.as_ref().is_some_and(|app| app.as_str().contains(MARKED))
}

//! The body of `POST /login` as JSON.

#![no_main]

use libfuzzer_sys::fuzz_target;
use wxmint::issuer::LoginBody;
use wxmint::login::{Credentials, LoginProof};
use wxmint_fuzz::check_login;
use wxmint_ids::AppId;

fuzz_target!(|body: &[u8]| {
    let asked = LoginBody::from_json(body);
    check_login(&asked);
    if let Ok(asked) = asked {
        assert!(str::from_utf8(body).is_ok());
        // A number or surrogate that cannot be represented does not matter in a member that the login does not read.
        let Ok(members) = serde_json::from_slice::<serde_json::Value>(body) else {
            return;
        };
        match &asked.proof {
            LoginProof::Code(code) => {
                assert!(members["code"] == code.as_str() && members["bind_ticket"].is_null());
            }
            LoginProof::Ticket(_) => {
                assert!(members["code"].is_null() && members["bind_ticket"].is_string());
            }
        }
        assert_eq!(
            members["appid"].as_str(),
            asked.app.as_ref().map(AppId::as_str)
        );
        let sent = ["username", "password", "phone_code"].map(|name| members[name].is_string());
        let expected = match &asked.credentials {
            Credentials::Nothing => [false, false, false],
            Credentials::Password(..) => [true, true, false],
            Credentials::Phone(_) => [false, false, true],
        };
        assert_eq!(sent, expected);
    }
});

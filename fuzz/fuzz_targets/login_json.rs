//! The body of `POST /login` as JSON.

#![no_main]

use libfuzzer_sys::fuzz_target;
use wxmint::issuer::LoginFields;
use wxmint_fuzz::check_login;

fuzz_target!(|body: &[u8]| {
    let asked = LoginFields::from_json(body).and_then(LoginFields::into_request);
    check_login(&asked);
    if let Ok(asked) = asked {
        assert!(str::from_utf8(body).is_ok());
        // A number or a surrogate that no value can hold, in a member that nobody reads, is no login's concern.
        let Ok(members) = serde_json::from_slice::<serde_json::Value>(body) else { return };
        assert_eq!(members["code"], asked.code.as_str());
        assert_eq!(members["appid"].as_str(), asked.app.as_ref().map(|app| app.as_str()));
        assert!(members["password"].is_null() && members["username"].is_null());
    }
});

//! A vault key file. The printed error must not contain a key.

#![no_main]

use libfuzzer_sys::fuzz_target;
use wxmint_ids::{Person, Platform};
use wxmint_keys::vault::Vault;

/// Seeds contain this in place of a malformed key.
const MARKED: &str = "hunter2";

fuzz_target!(|file: &[u8]| {
    let parsed = Vault::parse(file);
    assert!(!format!("{parsed:?}").contains(MARKED));
    match parsed {
        Ok(vault) => {
            let person = Person {
                platform: Platform::WeChat,
                app: "wx1".parse().expect("an app"),
                openid: "o1".parse().expect("an openid"),
            };
            let sealed = vault.seal("a session key", &person);
            assert_eq!(
                vault
                    .open(&sealed, &person)
                    .expect("its own seal opens")
                    .as_str(),
                "a session key"
            );
        }
        Err(error) => assert!(!error.to_string().contains(MARKED), "{error}"),
    }
});

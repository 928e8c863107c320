//! The keys with which an app and Alipay sign for each other: RSA2, which is RSASSA-PKCS1-v1_5 with
//! SHA-256 (<https://opendocs.alipay.com/common/02mse7>).

use std::sync::Arc;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, PublicKey};
use aws_lc_rs::signature::{
    KeyPair as _, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, UnparsedPublicKey,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use derive_more::FromStr;
use zeroize::Zeroizing;

use wxmint_ids::unprintable;

/// The least size of a key, in bytes.
const LEAST: usize = 2048 / 8;

/// The keys of one app of Alipay, and which of Alipay's ids is the person's.
#[derive(Clone)]
pub struct AlipayKeys {
    own: Arc<KeyPair>,
    /// `SubjectPublicKeyInfo` or `RSAPublicKey`, in DER.
    of_alipay: Arc<[u8]>,
    pub identity: AlipayIdentity,
}
unprintable!(AlipayKeys);

/// The id by which an app knows its persons. It is a setting and never a guess: Alipay may give one of
/// them, or both, and one that is taken in place of the other would make another user of a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromStr)]
#[from_str(rename_all = "snake_case")]
pub enum AlipayIdentity {
    OpenId,
    UserId,
}

/// Why a text is no key of an app of Alipay. The error does not repeat the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAlipayKey {
    #[error("must be an RSA key of at least 2048 bits, as PEM or as its base64")]
    Form,
    #[error("is the app's own public key; Alipay's own stands beside it in the console")]
    OwnPublicKey,
}

impl AlipayKeys {
    /// Reads both keys: PKCS#1 or PKCS#8, with the frame of PEM or as bare base64.
    pub fn new(
        private_key: &str,
        alipay_public_key: &str,
        identity: AlipayIdentity,
    ) -> Result<Self, (&'static str, InvalidAlipayKey)> {
        let own = read_private(private_key).ok_or(("private_key", InvalidAlipayKey::Form))?;
        let of_alipay = |why| ("alipay_public_key", why);
        let der = decoded(alipay_public_key).ok_or(of_alipay(InvalidAlipayKey::Form))?;
        let parsed = PublicKey::from_der(&der).map_err(|_| of_alipay(InvalidAlipayKey::Form))?;
        // The DER of a key is a little longer than its modulus.
        if parsed.as_ref().len() < LEAST {
            return Err(of_alipay(InvalidAlipayKey::Form));
        }
        if parsed.as_ref() == own.public_key().as_ref() {
            return Err(of_alipay(InvalidAlipayKey::OwnPublicKey));
        }
        Ok(Self {
            own: Arc::new(own),
            of_alipay: der.as_slice().into(),
            identity,
        })
    }

    /// The app's signature, in base64.
    pub fn sign(&self, text: &str) -> String {
        let mut signature = vec![0; self.own.public_modulus_len()];
        self.own
            .sign(
                &RSA_PKCS1_SHA256,
                &SystemRandom::new(),
                text.as_bytes(),
                &mut signature,
            )
            .expect("a key that was read can sign");
        STANDARD.encode(signature)
    }

    /// Whether Alipay has signed these bytes. The signature is base64.
    pub fn has_signed(&self, bytes: &[u8], signature: &str) -> bool {
        let key = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &self.of_alipay);
        let signature = STANDARD.decode(signature);
        signature.is_ok_and(|signature| key.verify(bytes, &signature).is_ok())
    }
}

/// Keys are equal if their public parts and the identity are.
impl PartialEq for AlipayKeys {
    fn eq(&self, other: &Self) -> bool {
        self.own.public_key().as_ref() == other.own.public_key().as_ref()
            && self.of_alipay == other.of_alipay
            && self.identity == other.identity
    }
}

impl Eq for AlipayKeys {}

fn read_private(text: &str) -> Option<KeyPair> {
    let der = decoded(text)?;
    let key = KeyPair::from_pkcs8(&der).or_else(|_| KeyPair::from_der(&der));
    key.ok().filter(|key| key.public_modulus_len() >= LEAST)
}

/// The DER of a key.
fn decoded(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let lines = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.starts_with("-----"));
    let base64 = Zeroizing::new(lines.collect::<String>());
    STANDARD.decode(base64.as_bytes()).ok().map(Zeroizing::new)
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
    use aws_lc_rs::rsa::KeySize;

    use super::*;

    fn pem(base64: &str, what: &str) -> String {
        let mut pem = format!("-----BEGIN {what}-----\n");
        for line in base64.as_bytes().chunks(64) {
            writeln!(pem, "{}", str::from_utf8(line).expect("ASCII")).expect("written");
        }
        pem + &format!("-----END {what}-----\n")
    }

    /// A private key as base64 of PKCS#8, and its public key as base64 of `SubjectPublicKeyInfo` and of
    /// PKCS#1.
    fn pair(size: KeySize) -> [String; 3] {
        let pair = KeyPair::generate(size).expect("a key");
        let private: Pkcs8V1Der<'_> = pair.as_der().expect("DER");
        let public: PublicKeyX509Der<'_> = pair.public_key().as_der().expect("DER");
        [
            STANDARD.encode(private.as_ref()),
            STANDARD.encode(public.as_ref()),
            STANDARD.encode(pair.public_key().as_ref()),
        ]
    }

    #[test]
    fn keys_are_read_in_each_form_and_sign_for_each_other() {
        let [own, own_public, _] = pair(KeySize::Rsa2048);
        let [of_alipay, public, public_pkcs1] = pair(KeySize::Rsa2048);
        for own in [own.clone(), pem(&own, "PRIVATE KEY")] {
            for public in [
                public.clone(),
                pem(&public, "PUBLIC KEY"),
                public_pkcs1.clone(),
                pem(&public_pkcs1, "RSA PUBLIC KEY"),
            ] {
                let keys = AlipayKeys::new(&own, &public, AlipayIdentity::OpenId).expect("keys");
                let alipay = AlipayKeys::new(&of_alipay, &own_public, AlipayIdentity::OpenId);
                let alipay = alipay.expect("keys");
                let signature = alipay.sign("{}");
                assert_eq!(signature.len(), 344);
                assert!(keys.has_signed(b"{}", &signature));
                assert!(!keys.has_signed(b"{} ", &signature));
                assert!(!keys.has_signed(b"{}", "no base64"));
                assert!(alipay.has_signed(b"a", &keys.sign("a")));
            }
        }
    }

    /// A real answer of Alipay, from the tests of its SDK for Node (alipay-sdk-nodejs-all,
    /// test/alipay.test.ts and test/fixtures/alipay-public-key.pem, MIT).
    #[test]
    fn a_real_signature_of_alipay_holds_for_its_bytes_and_no_others() {
        const PUBLIC: &str = "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAk7LzhmMa2c4qQd4fqAqenfbuFoA7stPKvoS1LrZEsVnOOGUUjwoa1oU9xsSPjcOWhIerU/VAN4J95GIAXx59ipcleIyfLn2FhHXPgLJpvo+b2jJFyn/1/DbeJDh+0yDVAOf50Z7HhI0mdUhFMkXlT7BU0ZMtJf/TmISFEfhDU/w6qFd6D42L97byAkq0K6LroglSVF24GqJEa7hSeUIkZWj7RasykXrc2uVJ1+ejkXE0LyPxa2AHykMGbJLf5SiZvaNzUZgnKIR36mLOHpQ/2JCXxhXZYUWHzy0kMH54JcUEeksFWBYLGvLjV1phbcUIc3Q76tIuqApY6E222OoZZQIDAQAB";
        const SIGN: &str = "F+LDzpTNiavn7xVZPGuPCSSVRSmWzJGgtuji6tVELGEaqMaNj0jRKXUEr5nloZJBBmwEnddOyCjjepMmrTKTvoOqQ0Efxpr/R1iEeHTHVbb/Q8TTh6Up5gHJDkILdaWS2q1cWeQ6VT+HQY9P3WRXS7uhILHuDODIhpAyCu5KhWGt0rMCIG+Im6NODJP2oohtSCtmTFXg58HH587Z2y2bdbjzOxLvzD9IrU1imghXQ2S/Q+wMIvRk9on6cWnBLkrNvJKapA2ReNGWOwyuASvB9zDVzhMPbR+3mfRGkVDxsq5HYLjBKGskJMXHw0HuugZij6ScRuaLPODhmHwr/pJ9yw==";
        let node =
            r#"{"code":"10000","msg":"Success","file_id":"CAxAToWB1JsAAAAAAAAAAAAADgSLAQBr"}"#;
        assert_eq!(node.len(), 77);
        let [own, _, _] = pair(KeySize::Rsa2048);
        let keys = AlipayKeys::new(&own, PUBLIC, AlipayIdentity::OpenId).expect("keys");
        assert!(keys.has_signed(node.as_bytes(), SIGN));
        assert!(!keys.has_signed(format!("{node} ").as_bytes(), SIGN));
    }

    #[test]
    fn a_private_key_may_be_pkcs1() {
        let [own, _, _] = pair(KeySize::Rsa2048);
        let [_, public, _] = pair(KeySize::Rsa2048);
        // The key lies behind 26 bytes, which say that it is RSA.
        let pkcs1 = STANDARD.encode(&STANDARD.decode(&own).expect("base64")[26..]);
        for text in [pkcs1.clone(), pem(&pkcs1, "RSA PRIVATE KEY")] {
            let keys = AlipayKeys::new(&text, &public, AlipayIdentity::OpenId);
            let same = AlipayKeys::new(&own, &public, AlipayIdentity::OpenId);
            assert!(keys.is_ok() && keys == same, "{keys:?}");
        }
    }

    #[test]
    fn a_wrong_key_is_refused_by_its_name() {
        let [own, own_public, own_pkcs1] = pair(KeySize::Rsa2048);
        let [_, public, _] = pair(KeySize::Rsa2048);
        for (private_key, public_key, wrong) in [
            ("", &*public, ("private_key", InvalidAlipayKey::Form)),
            (&public, &public, ("private_key", InvalidAlipayKey::Form)),
            (&own, "", ("alipay_public_key", InvalidAlipayKey::Form)),
            (&own, &own, ("alipay_public_key", InvalidAlipayKey::Form)),
            (
                &own,
                &own_public,
                ("alipay_public_key", InvalidAlipayKey::OwnPublicKey),
            ),
            (
                &own,
                &own_pkcs1,
                ("alipay_public_key", InvalidAlipayKey::OwnPublicKey),
            ),
        ] {
            let refused = AlipayKeys::new(private_key, public_key, AlipayIdentity::UserId);
            assert_eq!(refused.expect_err("refused"), wrong);
        }
    }
}

//! The calls that are signed with a person's session key. checksession checks whether the session
//! key is the current one, and resetusersessionkey replaces it. getuserencryptkey reads the keys
//! with which a mini program encrypts its messages (`wx.getUserCryptoManager`).

use aws_lc_rs::hmac;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use wxmint_ids::{OpenId, unprintable};

use super::client::{believed, call_ends, read};
use super::{
    Api, ByToken, CallError, PaymentKey, Result, SessionKey, api::number_or_quoted,
    exchange::Answer,
};

/// A key that encrypts one person's messages. A message names the version of its key.
#[derive(PartialEq, Eq, Deserialize, Serialize, utoipa::ToSchema)]
pub struct EncryptKey {
    /// base64 of 16 bytes
    pub encrypt_key: String,
    /// 16 characters
    pub iv: String,
    /// The version of the key, which a message names.
    #[serde(deserialize_with = "number_or_quoted")]
    pub version: i64,
    /// The rest of the key's life, in seconds.
    #[serde(
        rename(deserialize = "expire_in"),
        deserialize_with = "number_or_quoted"
    )]
    pub expires_in: i64,
    /// Seconds since 1970.
    #[serde(
        rename(deserialize = "create_time"),
        deserialize_with = "number_or_quoted"
    )]
    pub created_at: i64,
}
unprintable!(EncryptKey);

impl ByToken<'_> {
    /// Checks that the session key is the person's current one (`GET /wxa/checksession`).
    pub async fn check_session(self, openid: &OpenId, key: &SessionKey) -> Result<()> {
        self.signed(Api::CheckSession, openid, key, read_session_check)
            .await
    }

    /// Makes WeChat replace the person's session key (`GET /wxa/resetusersessionkey`), which must
    /// be the current one ([`super::Verdict::StaleSession`]) and is invalid from then on. The call
    /// is repeated only if no byte of the first request was sent, or if WeChat answered -1, because
    /// a new key is unusable if its response was lost.
    pub async fn reset_session_key(self, openid: &OpenId, key: &SessionKey) -> Result<SessionKey> {
        self.signed(Api::ResetSessionKey, openid, key, |body| {
            read_new_session_key(openid, body)
        })
        .await
    }

    /// The person's last three keys, newest first (`POST /wxa/business/getuserencryptkey`). The
    /// session key must be the current one ([`super::Verdict::StaleSession`]).
    pub async fn encrypt_keys(self, openid: &OpenId, key: &SessionKey) -> Result<Vec<EncryptKey>> {
        let signature = user_signature(key, b"");
        let wanted =
            json!({"openid": openid.as_str(), "signature": signature, "sig_method": "hmac_sha256"});
        self.post(Api::EncryptKeys, &wanted, read_encrypt_keys)
            .await
    }

    async fn signed<T>(
        self,
        api: Api,
        id: &OpenId,
        key: &SessionKey,
        read: impl Fn(&[u8]) -> Result<T>,
    ) -> Result<T> {
        let signature = user_signature(key, b"");
        let query = [
            ("access_token", self.token.expose()),
            ("openid", id.as_str()),
            ("signature", signature.as_str()),
            ("sig_method", "hmac_sha256"),
        ];
        self.wechat
            .call(
                call_ends(),
                api,
                self.app,
                |endpoint| endpoint.get(query),
                read,
            )
            .await
    }
}

/// The user's signature of `data` (`wx.requestVirtualPayment`, `xpay`): the HMAC-SHA256 in
/// lower-case hexadecimal digits. Its key is the base64 text, not the decoded bytes. The signature
/// of empty data proves that the caller knows the key.
pub fn user_signature(key: &SessionKey, data: &[u8]) -> String {
    hex_hmac_sha256(key.expose(), data)
}

/// The business's signature of an order (`paySig` of `wx.requestVirtualPayment`), in the form of
/// [`user_signature`].
pub fn payment_signature(key: &PaymentKey, sign_data: &str) -> String {
    let signed = ["requestVirtualPayment&", sign_data].concat();
    hex_hmac_sha256(key.expose(), signed.as_bytes())
}

fn hex_hmac_sha256(key: &str, data: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes());
    const_hex::encode(hmac::sign(&key, data))
}

/// Reads the answer to checksession: the session key is the current one unless this is an error.
pub fn read_session_check(body: &[u8]) -> Result<()> {
    let checked: Map<String, Value> = read(Api::CheckSession, body)?;
    // Required, because otherwise `{}` would mean a valid session.
    checked
        .get("errcode")
        .map(drop)
        .ok_or_else(|| CallError::unanswered("no errcode"))
}

/// Reads the answer to resetusersessionkey: the new session key of the person with this openid.
pub fn read_new_session_key(openid: &OpenId, body: &[u8]) -> Result<SessionKey> {
    let reset: Answer = read(Api::ResetSessionKey, body)?;
    // Wrapped first, so that the key is wiped even if the response is refused.
    let key = believed(reset.session_key).map(SessionKey::new);
    if reset.openid.is_some_and(|of| of != openid.as_str()) {
        return Err(CallError::unanswered("another person's session_key"));
    }
    key.ok_or_else(|| CallError::unanswered("neither an errcode nor a session_key"))
}

/// Reads the answer to getuserencryptkey: the person's keys, newest first.
pub fn read_encrypt_keys(body: &[u8]) -> Result<Vec<EncryptKey>> {
    #[derive(Deserialize)]
    struct Keys {
        key_info_list: Vec<EncryptKey>,
    }
    let Keys {
        key_info_list: keys,
    } = read(Api::EncryptKeys, body)?;
    if keys
        .iter()
        .any(|key| key.encrypt_key.is_empty() || key.iv.is_empty())
    {
        Err(CallError::unanswered("a key that is empty"))
    } else {
        Ok(keys)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    fn openid() -> OpenId {
        "o6_bmjrPTlm6_2sgVt7hMZOPfL2M".parse().expect("an openid")
    }

    /// The key is from the official documentation. The signature follows from the rule, which the
    /// official example of a POST confirms.
    #[test]
    fn the_signature_is_keyed_with_the_base64_text() {
        let vectors = crate::vectors();
        let [of_a_body, of_nothing] =
            [0, 1].map(|number| &vectors["hmac_sha256_session_signature"][number]);
        let text = |vector: &serde_json::Value, name: &str| {
            vector[name].as_str().expect("a text").to_owned()
        };
        let key = SessionKey::new(text(of_nothing, "session_key"));
        assert_eq!(user_signature(&key, b""), text(of_nothing, "signature"));

        assert_eq!(text(of_a_body, "session_key"), key.expose());
        assert_eq!(
            user_signature(&key, text(of_a_body, "message").as_bytes()),
            text(of_a_body, "signature")
        );
    }

    #[test]
    fn a_session_is_valid_only_if_wechat_says_so() {
        assert_eq!(
            read_session_check(br#"{"errcode":0,"errmsg":"ok"}"#),
            Ok(())
        );
        assert_eq!(
            read_session_check(br#"{"errcode":"0","errmsg":"ok"}"#),
            Ok(())
        );
        let stale =
            br#"{"errcode":87009,"errmsg":"invalid signature rid: 6552e3da-6397437b-3f0d4f01"}"#;
        let refused = read_session_check(stale).expect_err("a refusal");
        assert_eq!(refused.verdict(), Some(Verdict::StaleSession));
        for body in [
            "{}",
            "[]",
            "",
            "<html>ok</html>",
            r#"{"errmsg":"ok"}"#,
            r#"{"errcode":0"#,
        ] {
            let error = read_session_check(body.as_bytes()).expect_err(body);
            assert!(matches!(error, CallError::Unanswered { .. }), "{body}");
        }
    }

    #[test]
    fn a_new_session_key_must_belong_to_the_person_of_the_request() {
        let given = r#"{"errcode":0,"errmsg":"ok","openid":"o6_bmjrPTlm6_2sgVt7hMZOPfL2M","session_key":"O\/YVQPHxQY18DrsFq+\/bjQ=="}"#;
        let key = read_new_session_key(&openid(), given.as_bytes()).expect("a key");
        assert_eq!(key.expose(), "O/YVQPHxQY18DrsFq+/bjQ==");
        for body in [
            given.replace("o6_b", "o7_b"),
            given.replace("session_key", "key"),
            given.replace(r"O\/YVQPHxQY18DrsFq+\/bjQ==", ""),
            given[..100].to_owned(),
            r#"{"errcode":0,"errmsg":"ok"}"#.to_owned(),
        ] {
            let error = read_new_session_key(&openid(), body.as_bytes()).expect_err(&body);
            assert!(matches!(error, CallError::Unanswered { .. }), "{body}");
            assert!(
                !format!("{error} {error:?}").contains("YVQPHx"),
                "{error:?}"
            );
        }
    }

    const KEYS: &str = r#"{"errcode":0,"errmsg":"ok","key_info_list":[
        {"encrypt_key":"VI6BpyrK9XH4i4AIGe86tg==","version":10,"expire_in":3597,"iv":"6003f73ec441c386","create_time":1616572301},
        {"encrypt_key":"aoUGAHltcliiL9f23oTKHA==","version":"9","expire_in":"0","iv":"7996656384218dbb","create_time":"1616504886"}]}"#;

    #[test]
    fn keys_are_read_in_the_order_of_wechat() {
        let [newest, older] = &read_encrypt_keys(KEYS.as_bytes()).expect("keys")[..] else {
            panic!("two keys")
        };
        assert_eq!(
            (newest.encrypt_key.as_str(), newest.iv.as_str()),
            ("VI6BpyrK9XH4i4AIGe86tg==", "6003f73ec441c386")
        );
        assert_eq!(
            (newest.version, newest.expires_in, newest.created_at),
            (10, 3597, 1_616_572_301)
        );
        assert_eq!(
            (older.version, older.expires_in, older.created_at),
            (9, 0, 1_616_504_886)
        );
        assert!(!format!("{newest:?}").contains("VI6"));
    }

    #[test]
    fn what_is_not_a_list_of_keys_is_refused_and_not_repeated() {
        let refused = read_encrypt_keys(br#"{"errcode":87009,"errmsg":"invalid signature"}"#)
            .expect_err("a refusal");
        assert_eq!(refused.verdict(), Some(Verdict::StaleSession));
        for body in [
            "{}",
            r#"{"errcode":0,"errmsg":"ok"}"#,
            &KEYS.replace("VI6BpyrK9XH4i4AIGe86tg==", ""),
            &KEYS.replace("6003f73ec441c386", ""),
            &KEYS.replace("\"version\":10,", ""),
            &KEYS.replace("1616572301", "\"soon\""),
            &KEYS[..200],
            "<html>VI6</html>",
        ] {
            let error = read_encrypt_keys(body.as_bytes()).expect_err(body);
            assert!(matches!(error, CallError::Unanswered { .. }), "{body}");
            assert!(!format!("{error} {error:?}").contains("VI6"), "{error:?}");
        }
    }
}

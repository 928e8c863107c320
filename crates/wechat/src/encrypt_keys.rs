//! getuserencryptkey: the keys with which a mini program encrypts its messages (`wx.getUserCryptoManager`).

use serde::{Deserialize, Serialize};
use serde_json::json;
use wxmint_ids::{OpenId, unprintable};

use super::{Api, ByToken, CallError, Result, SessionKey, session_signature};
use super::{client::read, errcode::number_or_quoted};

/// A key that one person's messages are encrypted with, by WeChat's and by our names of its members. A message names
/// the version of its key.
#[derive(PartialEq, Eq, Deserialize, Serialize, utoipa::ToSchema)]
pub struct EncryptKey {
    /// base64 of 16 bytes
    pub encrypt_key: String,
    /// 16 characters
    pub iv: String,
    #[serde(deserialize_with = "number_or_quoted")]
    pub version: i64,
    /// The rest of its life, in seconds.
    #[serde(rename(deserialize = "expire_in"), deserialize_with = "number_or_quoted")]
    pub expires_in: i64,
    /// Seconds since 1970.
    #[serde(rename(deserialize = "create_time"), deserialize_with = "number_or_quoted")]
    pub created_at: i64,
}
unprintable!(EncryptKey);

impl ByToken<'_> {
    /// The person's last three keys, newest first (`POST /wxa/business/getuserencryptkey`). The session key must be the
    /// current one ([`super::Verdict::StaleSession`]).
    pub async fn encrypt_keys(self, openid: &OpenId, key: &SessionKey) -> Result<Vec<EncryptKey>> {
        let wanted = json!({
            "openid": openid.as_str(), "signature": session_signature(key), "sig_method": "hmac_sha256",
        });
        self.post(Api::EncryptKeys, &wanted, read_encrypt_keys).await
    }
}

#[derive(Deserialize)]
struct Answer {
    key_info_list: Vec<EncryptKey>,
}

pub fn read_encrypt_keys(body: &[u8]) -> Result<Vec<EncryptKey>> {
    let Answer { key_info_list: keys } = read(Api::EncryptKeys, body)?;
    if keys.iter().any(|key| key.encrypt_key.is_empty() || key.iv.is_empty()) {
        return Err(CallError::unanswered("a key that is empty"));
    }
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use super::{super::Verdict, *};

    const KEYS: &str = r#"{"errcode":0,"errmsg":"ok","key_info_list":[
        {"encrypt_key":"VI6BpyrK9XH4i4AIGe86tg==","version":10,"expire_in":3597,"iv":"6003f73ec441c386","create_time":1616572301},
        {"encrypt_key":"aoUGAHltcliiL9f23oTKHA==","version":"9","expire_in":"0","iv":"7996656384218dbb","create_time":"1616504886"}]}"#;

    #[test]
    fn keys_are_read_in_the_order_of_wechat() {
        let [newest, older] = &read_encrypt_keys(KEYS.as_bytes()).expect("keys")[..] else { panic!("two keys") };
        assert_eq!((newest.encrypt_key.as_str(), newest.iv.as_str()), ("VI6BpyrK9XH4i4AIGe86tg==", "6003f73ec441c386"));
        assert_eq!((newest.version, newest.expires_in, newest.created_at), (10, 3597, 1_616_572_301));
        assert_eq!((older.version, older.expires_in, older.created_at), (9, 0, 1_616_504_886));
        assert!(!format!("{newest:?}").contains("VI6"));
    }

    #[test]
    fn what_is_not_a_list_of_keys_is_refused_and_not_repeated() {
        let refused = read_encrypt_keys(br#"{"errcode":87009,"errmsg":"invalid signature"}"#).expect_err("a refusal");
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

//! Names of keys in Redis, for tests that plant or take away what nobody could from outside.
//! crates/store/src/conformance.rs holds the names and lives of all keys.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use uuid::Uuid;

pub(crate) const ENDS: &str = "wxmint:revoked";

pub(crate) fn binding(app: &str, openid: &str) -> String {
    format!("wxmint:{{{app}:{openid}}}:binding")
}

pub(crate) fn holder_of(unionid: &str) -> String {
    format!("wxmint:union:{{{unionid}}}")
}

pub(crate) fn revocations_of(user: &str) -> String {
    format!("wxmint:user:{{{user}}}:ends")
}

pub(crate) fn clients_of(user: &str) -> String {
    format!("wxmint:user:{{{user}}}:clients")
}

pub(crate) fn access_token(app: &str) -> String {
    format!("wxmint:{{{app}}}:access-token")
}

/// The id that a value holds: a UUID, an openid or a unionid, or text.
pub(crate) fn id_in(value: &[u8]) -> String {
    match value {
        [1, bytes @ ..] => Uuid::from_slice(bytes)
            .map_or_else(|_| URL_SAFE_NO_PAD.encode(bytes), |uuid| uuid.to_string()),
        text => String::from_utf8(text.to_vec()).expect("UTF-8"),
    }
}

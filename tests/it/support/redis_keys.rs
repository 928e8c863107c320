//! Names of keys in Redis, for tests that plant or take away what nobody could from outside. crates/store/src/conformance.rs holds
//! the names and lives of all keys.

pub(crate) const ENDS: &str = "wxmint:ended";

pub(crate) fn binding(app: &str, openid: &str) -> String {
    format!("wxmint:{{{app}:{openid}}}:binding")
}

pub(crate) fn holder_of(unionid: &str) -> String {
    format!("wxmint:union:{{{unionid}}}")
}

pub(crate) fn ends_of(user: &str) -> String {
    format!("wxmint:user:{{{user}}}:ends")
}

pub(crate) fn access_token(app: &str) -> String {
    format!("wxmint:{{{app}}}:access-token")
}

//! Exchanges a login code, for an openid and (code2Session) a session key. The parser is lenient about the form and
//! strict about the values.

use serde::Deserialize;
use wxmint_ids::{LoginCode, OpenId, UnionId};

use super::client::{Endpoint, believed, call_ends, parsed, read};
use super::{Api, App, CallError, Result, SessionKey, WeChat, oauth2::read_grant};

#[derive(Debug, Clone)]
pub struct Session {
    pub openid: OpenId,
    /// The person in all apps of the owner, if WeChat knows a unionid.
    pub unionid: Option<UnionId>,
    /// Only a mini program's person has one. Leaves the process only encrypted.
    pub session_key: Option<SessionKey>,
}

impl WeChat {
    /// Exchanges a login code, in the way of the app's kind: that of wx.login (`GET /sns/jscode2session`), or one of
    /// OAuth2 (`GET /sns/oauth2/access_token`). The code is sent once. It is sent a second time only if no byte of the
    /// first request was sent, or if WeChat answered -1.
    pub async fn exchange(&self, app: &App, code: &LoginCode) -> Result<Session> {
        let has_key = app.kind.has_session_keys();
        let (api, name) = if has_key { (Api::Code2Session, "js_code") } else { (Api::Oauth2, "code") };
        let query = [
            ("appid", app.id.as_str()),
            ("secret", app.own_secret()?.expose()),
            (name, code.as_str()),
            ("grant_type", "authorization_code"),
        ];
        self.exchange_by(api, app, query).await
    }

    /// Exchanges the code that is in this query.
    pub(super) async fn exchange_by<const N: usize>(
        &self,
        api: Api,
        app: &App,
        query: [(&str, &str); N],
    ) -> Result<Session> {
        let (until, request) = (call_ends(), |endpoint: &Endpoint| endpoint.get(query));
        if app.kind.has_session_keys() {
            return self.call(until, api, app, request, |body| read_session(api, body)).await;
        }
        let grant = self.call(until, api, app, request, |body| read_grant(api, body)).await?;
        self.session_of(app, grant, until).await
    }
}

/// WeChat names a person. The texts are copied, which costs a login two small allocations and saves a type.
#[derive(Deserialize)]
pub(super) struct Answer {
    pub(super) openid: Option<String>,
    pub(super) unionid: Option<String>,
    pub(super) session_key: Option<String>,
}

/// Reads the answer to a call that exchanges the code of a mini program.
pub fn read_session(api: Api, body: &[u8]) -> Result<Session> {
    let answer: Answer = read(api, body)?;
    // Made first, so that the key is wiped even if the response is refused.
    let session_key = believed(answer.session_key).map(SessionKey::new);
    let (Some(openid), Some(session_key)) = (believed(answer.openid), session_key) else {
        return Err(CallError::unanswered("neither an errcode nor both of openid and session_key"));
    };
    let (openid, unionid) = (parsed("openid", &openid)?, unionid(answer.unionid)?);
    Ok(Session { openid, unionid, session_key: Some(session_key) })
}

/// `None` where WeChat has not named one.
pub(super) fn unionid(member: Option<String>) -> Result<Option<UnionId>> {
    // One that is there and cannot be a unionid is an error, so that nobody is let in as if there were none.
    member.filter(|text| !text.is_empty()).map(|unionid| parsed("unionid", &unionid)).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_responses_that_were_observed_are_read() {
        let escaped = br#"{"session_key":"O\/YVQPHxQY18DrsFq+\/bjQ==","openid":"o000000000000000000000000000","unionid":"o111111111111111111111111111"}"#;
        let session = read_session(Api::Code2Session, escaped).expect("a session");
        assert_eq!(session.session_key.expect("a key").expose(), "O/YVQPHxQY18DrsFq+/bjQ==");
        assert_eq!(session.unionid.expect("a unionid").as_str(), "o111111111111111111111111111");
        let legacy = br#"{"session_key":"D1ZWEygStjuLCnZ9IN2l4Q==","expires_in":7200,"openid":"o16wA0b4AZKzgVJR3MBwoUdTfU_E","errcode":0,"unionid":""}"#;
        assert!(read_session(Api::Code2Session, legacy).expect("a session").unionid.is_none());
    }

    #[test]
    fn success_needs_openid_and_session_key_both_non_empty() {
        for body in [
            r#"{}"#,
            r#"{"errcode":0}"#,
            r#"{"openid":"o1"}"#,
            r#"{"openid":"","session_key":"k"}"#,
            r#"{"openid":"o1","session_key":""}"#,
            r#"{"openid":"o1}{","session_key":"k"}"#,
            r#"{"openid":1,"session_key":"k"}"#,
            "<html>502</html>",
            "",
            r#"{"openid":"o1","session_key":"secret-key"#,
        ] {
            let error = read_session(Api::Code2Session, body.as_bytes()).expect_err(body);
            assert!(matches!(error, CallError::Unanswered { .. }), "{body}");
            assert!(!format!("{error} {error:?}").contains("secret-key"));
        }
        let long = |length| format!(r#"{{"openid":"o1","session_key":"{}"}}"#, "k".repeat(length));
        assert!(
            read_session(Api::Code2Session, long(1024).as_bytes()).is_ok()
                && read_session(Api::Code2Session, long(1025).as_bytes()).is_err()
        );
    }
}

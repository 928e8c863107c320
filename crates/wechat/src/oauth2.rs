//! OAuth2, by which official accounts, websites and mobile apps log in
//! (<https://developers.weixin.qq.com/doc/offiaccount/OA_Web_Apps/Wechat_webpage_authorization.html>). WeChat's own
//! tokens are dropped at once.

use serde::Deserialize;
use serde_json::Value;
use tokio::time::Instant;
use wxmint_ids::{OpenId, UnionId};

use super::client::{believed, parsed, read};
use super::code2session::{self, Session, unionid};
use super::{Api, App, AppKind, CallError, Result, WeChat, app::PersonAccessToken};

/// The one scope with which WeChat does not tell the unionid.
const WITHOUT_UNIONID: &str = "snsapi_base";

/// A session, and the token with which its unionid can be asked for, if the scope has it and the answer has not.
pub(super) type Grant = (Session, Option<PersonAccessToken>);

impl WeChat {
    /// Asks for the unionid (`GET /sns/userinfo`) if it is in the scope and not in the grant. Both calls together may
    /// take as long as one. There is none if the app is bound to no account of the Open Platform. A person let in
    /// without the unionid might become another user for good, so that the exchange fails where the unionid is in the
    /// scope and cannot be had.
    pub(super) async fn session_of(&self, app: &App, (mut session, asks): Grant, until: Instant) -> Result<Session> {
        if let Some(token) = asks {
            let query = [("access_token", token.expose()), ("openid", session.openid.as_str())];
            let read = |body: &[u8]| read_user_info(body, &session.openid);
            let told = self.call(until, Api::UserInfo, app, |endpoint| endpoint.get(query), read).await;
            // Whatever has gone wrong, the code is used up, and it is not the code that is to blame.
            session.unionid = told.map_err(|error| CallError::unanswered(format!("no unionid: {error}")))?;
        }
        // Only an official account can be without an account of the Open Platform.
        if session.unionid.is_none() && app.kind != AppKind::OfficialAccount {
            return Err(CallError::unanswered("no unionid, which every website and mobile app has"));
        }
        Ok(session)
    }
}

#[derive(Deserialize)]
struct Answer {
    openid: Option<String>,
    unionid: Option<String>,
    scope: Option<String>,
    access_token: Option<String>,
    /// A number in WeChat's documentation. Whatever else it may be one day is taken for set.
    #[serde(default)]
    is_snapshotuser: Value,
}

/// Reads the answer to a call that exchanges a code of OAuth2.
pub fn read_grant(api: Api, body: &[u8]) -> Result<Grant> {
    let answer: Answer = read(api, body)?;
    // Made first, so that the token is wiped even if the response is refused.
    let token = believed(answer.access_token).map(PersonAccessToken::new);
    let flag = answer.is_snapshotuser;
    if !(matches!(flag, Value::Null | Value::Bool(false)) || flag == 0 || flag == "0") {
        return Err(CallError::SnapshotUser);
    }
    let (Some(openid), Some(scope)) = (believed(answer.openid), believed(answer.scope)) else {
        return Err(CallError::unanswered("neither an errcode nor both of openid and scope"));
    };
    let (openid, unionid) = (parsed("openid", &openid)?, unionid(answer.unionid)?);
    let has_none = || CallError::unanswered("neither a unionid nor an access_token");
    let is_untold = scope != WITHOUT_UNIONID && unionid.is_none();
    let asks = is_untold.then(|| token.ok_or_else(has_none)).transpose()?;
    Ok((Session { openid, unionid, session_key: None }, asks))
}

fn read_user_info(body: &[u8], openid: &OpenId) -> Result<Option<UnionId>> {
    let info: code2session::Answer = read(Api::UserInfo, body)?;
    match info.openid.is_some_and(|told| told == openid.as_str()) {
        true => unionid(info.unionid),
        false => Err(CallError::unanswered("the information of another person")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(body: &str) -> (String, Option<String>, bool) {
        let (session, asks) = read_grant(Api::Oauth2, body.as_bytes()).expect(body);
        (session.openid.as_str().into(), session.unionid.map(|unionid| unionid.as_str().into()), asks.is_some())
    }

    #[test]
    fn the_unionid_is_asked_for_if_the_scope_has_it_and_the_answer_has_not() {
        for (scope, unionid, asks) in [
            ("snsapi_base", "", false),
            ("snsapi_userinfo", "", true),
            ("snsapi_userinfo", r#","unionid":"""#, true),
            ("snsapi_login", "", true),
            ("snsapi_base, snsapi_login", "", true),
            ("SNSAPI_USERINFO", "", true),
            ("snsapi_userinfo", r#","unionid":"u1""#, false),
        ] {
            let body = format!(
                r#"{{"access_token":"80_a","expires_in":7200,"refresh_token":"80_r","openid":"o1","scope":"{scope}"{unionid}}}"#
            );
            let known = (!asks && unionid.len() > 1).then(|| "u1".to_owned());
            assert_eq!(told(&body), ("o1".into(), known, asks), "{body}");
        }
    }

    #[test]
    fn a_virtual_person_is_nobody() {
        for body in [
            r#"{"access_token":"80_a","openid":"o1","scope":"snsapi_base","is_snapshotuser":1}"#,
            r#"{"access_token":"","openid":"","scope":"snsapi_userinfo","is_snapshotuser":"1"}"#,
            r#"{"access_token":"80_a","openid":"o1","scope":"snsapi_base","is_snapshotuser":true}"#,
            r#"{"access_token":"80_a","openid":"o1","scope":"snsapi_base","is_snapshotuser":{}}"#,
            r#"{"openid":"o1","scope":"snsapi_base","is_snapshotuser":"perhaps"}"#,
        ] {
            assert_eq!(read_grant(Api::Oauth2, body.as_bytes()).expect_err(body), CallError::SnapshotUser);
        }
        assert!(read_grant(Api::Oauth2, br#"{"openid":"o1","scope":"snsapi_base","is_snapshotuser":0}"#).is_ok());
    }

    #[test]
    fn an_answer_that_leaves_the_person_open_is_refused() {
        for body in [
            "{}",
            r#"{"openid":"o1"}"#,
            r#"{"openid":"","scope":"snsapi_base"}"#,
            r#"{"openid":"two words","scope":"snsapi_base"}"#,
            r#"{"openid":"o1","scope":"snsapi_userinfo","access_token":""}"#,
        ] {
            let error = read_grant(Api::Oauth2, body.as_bytes()).expect_err(body);
            assert!(matches!(error, CallError::Unanswered { .. }), "{body}");
        }
        let openid = "o1".parse().expect("an openid");
        let unionid = |body: &str| read_user_info(body.as_bytes(), &openid).map(|unionid| unionid.is_some());
        assert_eq!(unionid(r#"{"openid":"o1","unionid":"u1"}"#), Ok(true));
        assert_eq!(unionid(r#"{"openid":"o1"}"#), Ok(false));
        assert!(unionid(r#"{"openid":"o2","unionid":"u1"}"#).is_err() && unionid("{}").is_err());
    }
}

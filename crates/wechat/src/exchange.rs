//! Exchanges a login code for a person: by code2Session
//! (<https://developers.weixin.qq.com/miniprogram/dev/OpenApiDoc/user-login/code2Session.html>),
//! which also brings a session key, or by OAuth2 for official accounts, websites and mobile apps
//! (<https://developers.weixin.qq.com/doc/offiaccount/OA_Web_Apps/Wechat_webpage_authorization.html>).
//! The parser is lenient about the form and strict about the values.

use serde::Deserialize;
use serde_json::Value;
use wxmint_ids::{LoginCode, OpenId, UnionId};

use super::client::{Endpoint, believed, call_ends, parsed, read};
use super::{Api, App, AppKind, CallError, PersonAccessToken, Result, SessionKey, WeChat};

/// The only scope that does not allow reading the unionid.
const WITHOUT_UNIONID: &str = "snsapi_base";

/// The person who logged in, as WeChat answered to a code.
#[derive(Debug, Clone)]
pub struct Session {
    /// The person's openid in this app.
    pub openid: OpenId,
    /// The person's unionid, if WeChat named one.
    pub unionid: Option<UnionId>,
    /// The session key, which only mini programs have. It leaves the process only encrypted.
    pub session_key: Option<SessionKey>,
}

impl WeChat {
    /// Exchanges a login code as the app's kind requires: a code of wx.login (`GET
    /// /sns/jscode2session`), or a code of OAuth2 (`GET /sns/oauth2/access_token`). The code is
    /// sent once. It is sent a second time only if no byte of the first request was sent, or if
    /// WeChat answered -1.
    pub async fn exchange(&self, app: &App, code: &LoginCode) -> Result<Session> {
        let secret = app.own_secret()?.expose();
        self.exchange_by(
            [Api::Code2Session, Api::Oauth2],
            app,
            code,
            [("secret", secret)],
        )
        .await
    }

    /// Exchanges a code by the call for mini programs or by the call for other apps. `who`: the
    /// parameters that authenticate the caller. After OAuth2, asks for the unionid (`GET
    /// /sns/userinfo`) if the scope allows it and the answer lacks it; both calls share one
    /// deadline. Fails if this call fails, because a person who logs in without the unionid might
    /// become another user permanently. There is no unionid if the app is not bound to an account
    /// of the Open Platform.
    pub(super) async fn exchange_by<const N: usize>(
        &self,
        [of_mini_programs, of_others]: [Api; 2],
        app: &App,
        code: &LoginCode,
        who: [(&str, &str); N],
    ) -> Result<Session> {
        let has_key = app.kind.has_session_keys();
        let (api, name) = if has_key {
            (of_mini_programs, "js_code")
        } else {
            (of_others, "code")
        };
        let query = [
            ("appid", app.id.as_str()),
            (name, code.as_str()),
            ("grant_type", "authorization_code"),
        ];
        let until = call_ends();
        let request = |endpoint: &Endpoint| endpoint.get(query.into_iter().chain(who));
        if has_key {
            return self
                .call(until, api, app, request, |body| read_session(api, body))
                .await;
        }
        let (mut session, asks) = self
            .call(until, api, app, request, |body| read_grant(api, body))
            .await?;
        if let Some(token) = asks {
            let query = [
                ("access_token", token.expose()),
                ("openid", session.openid.as_str()),
            ];
            let told = self
                .call(
                    until,
                    Api::UserInfo,
                    app,
                    |endpoint| endpoint.get(query),
                    |body| read_user_info(body, &session.openid),
                )
                .await;
            // The code is used up, but it was not the cause, so the error must not be that of a
            // wrong code.
            session.unionid =
                told.map_err(|error| CallError::unanswered(format!("no unionid: {error}")))?;
        }
        // Only an official account may have no account of the Open Platform.
        if session.unionid.is_none() && app.kind != AppKind::OfficialAccount {
            return Err(CallError::unanswered(
                "no unionid, which every website and mobile app has",
            ));
        }
        Ok(session)
    }
}

/// WeChat's answer to all these calls. Its texts are copied: a login needs two small allocations
/// more, but one type serves all calls.
#[derive(Deserialize)]
pub(super) struct Answer {
    pub(super) openid: Option<String>,
    unionid: Option<String>,
    pub(super) session_key: Option<String>,
    /// This member and the following ones are only in answers of OAuth2.
    scope: Option<String>,
    access_token: Option<String>,
    /// A number in WeChat's documentation. Any other value counts as set.
    #[serde(default)]
    is_snapshotuser: Value,
}

/// Reads the answer to a call that exchanges the code of a mini program.
pub fn read_session(api: Api, body: &[u8]) -> Result<Session> {
    let answer: Answer = read(api, body)?;
    // Wrapped first, so that the key is wiped even if the response is refused.
    let session_key = believed(answer.session_key).map(SessionKey::new);
    let (Some(openid), Some(session_key)) = (believed(answer.openid), session_key) else {
        return Err(CallError::unanswered(
            "neither an errcode nor both of openid and session_key",
        ));
    };
    let openid = parsed("openid", &openid)?;
    let unionid = unionid(answer.unionid)?;
    Ok(Session {
        openid,
        unionid,
        session_key: Some(session_key),
    })
}

/// Reads the answer to a call that exchanges a code of OAuth2: a session, and the token with which
/// to ask for the unionid, if the scope allows that and the answer lacks the unionid. WeChat's
/// other tokens are dropped.
pub fn read_grant(api: Api, body: &[u8]) -> Result<(Session, Option<PersonAccessToken>)> {
    let answer: Answer = read(api, body)?;
    // Wrapped first, so that the token is wiped even if the response is refused.
    let token = believed(answer.access_token).map(PersonAccessToken::new);
    let flag = answer.is_snapshotuser;
    if !(matches!(flag, Value::Null | Value::Bool(false)) || flag == 0 || flag == "0") {
        return Err(CallError::SnapshotUser);
    }
    let (Some(openid), Some(scope)) = (believed(answer.openid), believed(answer.scope)) else {
        return Err(CallError::unanswered(
            "neither an errcode nor both of openid and scope",
        ));
    };
    let openid = parsed("openid", &openid)?;
    let unionid = unionid(answer.unionid)?;
    let is_untold = scope != WITHOUT_UNIONID && unionid.is_none();
    let asks = if is_untold {
        let token =
            token.ok_or_else(|| CallError::unanswered("neither a unionid nor an access_token"))?;
        Some(token)
    } else {
        None
    };
    Ok((
        Session {
            openid,
            unionid,
            session_key: None,
        },
        asks,
    ))
}

fn read_user_info(body: &[u8], openid: &OpenId) -> Result<Option<UnionId>> {
    let info: Answer = read(Api::UserInfo, body)?;
    let is_other = info.openid.is_none_or(|told| told != openid.as_str());
    if is_other {
        Err(CallError::unanswered("the information of another person"))
    } else {
        unionid(info.unionid)
    }
}

/// Parses the unionid; `None` if WeChat has not named one.
fn unionid(member: Option<String>) -> Result<Option<UnionId>> {
    // A value that cannot be a unionid is an error, so that no person logs in as if there were no
    // unionid.
    member
        .filter(|text| !text.is_empty())
        .map(|unionid| parsed("unionid", &unionid))
        .transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_responses_that_were_observed_are_read() {
        let escaped = br#"{"session_key":"O\/YVQPHxQY18DrsFq+\/bjQ==","openid":"o000000000000000000000000000","unionid":"o111111111111111111111111111"}"#;
        let session = read_session(Api::Code2Session, escaped).expect("a session");
        assert_eq!(
            session.session_key.expect("a key").expose(),
            "O/YVQPHxQY18DrsFq+/bjQ=="
        );
        assert_eq!(
            session.unionid.expect("a unionid").as_str(),
            "o111111111111111111111111111"
        );
        let legacy = br#"{"session_key":"D1ZWEygStjuLCnZ9IN2l4Q==","expires_in":7200,"openid":"o16wA0b4AZKzgVJR3MBwoUdTfU_E","errcode":0,"unionid":""}"#;
        assert!(
            read_session(Api::Code2Session, legacy)
                .expect("a session")
                .unionid
                .is_none()
        );
    }

    #[test]
    fn success_needs_openid_and_session_key_both_non_empty() {
        for body in [
            r"{}",
            r#"{"errcode":0}"#,
            r#"{"openid":"o1"}"#,
            r#"{"openid":"","session_key":"k"}"#,
            r#"{"openid":"o1","session_key":""}"#,
            r#"{"openid":"o1}{","session_key":"k"}"#,
            r#"{"openid":1,"session_key":"k"}"#,
            "<html>502</html>",
            "",
            r#"{"openid":"o1","session_key":"secret-key"#,
            r#""secret-key""#,
            r#"[{"session_key":"secret-key"}]"#,
        ] {
            let error = read_session(Api::Code2Session, body.as_bytes()).expect_err(body);
            assert!(matches!(error, CallError::Unanswered { .. }), "{body}");
            assert!(!format!("{error} {error:?}").contains("secret-key"));
        }
        let long = |length| {
            format!(
                r#"{{"openid":"o1","session_key":"{}"}}"#,
                "k".repeat(length)
            )
        };
        assert!(
            read_session(Api::Code2Session, long(1024).as_bytes()).is_ok()
                && read_session(Api::Code2Session, long(1025).as_bytes()).is_err()
        );
    }

    fn told(body: &str) -> (String, Option<String>, bool) {
        let (session, asks) = read_grant(Api::Oauth2, body.as_bytes()).expect(body);
        (
            session.openid.as_str().into(),
            session.unionid.map(|unionid| unionid.as_str().into()),
            asks.is_some(),
        )
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
            assert_eq!(
                read_grant(Api::Oauth2, body.as_bytes()).expect_err(body),
                CallError::SnapshotUser
            );
        }
        assert!(
            read_grant(
                Api::Oauth2,
                br#"{"openid":"o1","scope":"snsapi_base","is_snapshotuser":0}"#
            )
            .is_ok()
        );
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
        let unionid =
            |body: &str| read_user_info(body.as_bytes(), &openid).map(|unionid| unionid.is_some());
        assert_eq!(unionid(r#"{"openid":"o1","unionid":"u1"}"#), Ok(true));
        assert_eq!(unionid(r#"{"openid":"o1"}"#), Ok(false));
        assert!(unionid(r#"{"openid":"o2","unionid":"u1"}"#).is_err() && unionid("{}").is_err());
    }
}

//! `stable_token`: fetches the app's access token, which authenticates the app in most calls.

use std::time::Duration;

use serde::Deserialize;
use serde_json::json;

use super::client::{believed, call_ends, read};
use super::{
    Api, App, AppAccessToken, CallError, RefreshToken, Result, WeChat, api::number_or_quoted,
};

/// The longest life that is trusted, because WeChat's tokens live two hours.
const LONGEST_LIFE: Duration = Duration::from_hours(2);

/// An access token as WeChat gives it
/// (<https://developers.weixin.qq.com/miniprogram/dev/OpenApiDoc/mp-access-token/getStableAccessToken.html>).
#[derive(Debug, Clone)]
pub struct FetchedAccessToken {
    pub token: AppAccessToken,
    /// The rest of the token's life, from one second to two hours.
    pub expires_in: Duration,
    /// The merchant's new refresh token, if WeChat names one. It replaces the previous one.
    pub refresh_token: Option<RefreshToken>,
}

impl WeChat {
    /// Fetches the app's access token (`POST /cgi-bin/stable_token`). In normal mode every caller
    /// gets the same token. In the token's last five minutes callers get the next token, while both
    /// are valid. `force` makes WeChat issue a new token and invalidate the old one, at most 20
    /// times a day; within 30 s of the last time it has no effect. So the call may be repeated.
    pub async fn stable_token(&self, app: &App, force: bool) -> Result<FetchedAccessToken> {
        let wanted = json!({
            "grant_type": "client_credential",
            "appid": app.id.as_str(),
            "secret": app.own_secret()?.expose(),
            "force_refresh": force,
        });
        self.call(
            call_ends(),
            Api::StableToken,
            app,
            |endpoint| endpoint.post([], &wanted),
            |body| read_access_token(Api::StableToken, body),
        )
        .await
    }
}

#[derive(Deserialize)]
struct Answer {
    #[serde(alias = "component_access_token", alias = "authorizer_access_token")]
    access_token: Option<String>,
    #[serde(default, deserialize_with = "number_or_quoted")]
    expires_in: i64,
    authorizer_refresh_token: Option<String>,
}

/// Reads the answer to a call that fetches an access token. The name of the token's member depends
/// on the call.
pub fn read_access_token(api: Api, body: &[u8]) -> Result<FetchedAccessToken> {
    let answer: Answer = read(api, body)?;
    let refresh_token = believed(answer.authorizer_refresh_token).map(RefreshToken::new);
    let token = believed(answer.access_token)
        .map(AppAccessToken::new)
        .ok_or_else(|| CallError::unanswered("neither an errcode nor an access_token"))?;
    if !token.expose().bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(CallError::unanswered(
            "an access_token that is not of visible ASCII characters",
        ));
    }
    let seconds = u64::try_from(answer.expires_in)
        .ok()
        .filter(|&seconds| seconds > 0);
    let expires_in =
        seconds.ok_or_else(|| CallError::unanswered("an access_token that has expired"))?;
    Ok(FetchedAccessToken {
        token,
        expires_in: Duration::from_secs(expires_in).min(LONGEST_LIFE),
        refresh_token,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_responses_that_were_observed_are_read() {
        for (body, seconds) in [
            (r#"{"access_token":"80_abc-DEF","expires_in":7200}"#, 7200),
            (
                r#"{"access_token":"80_abc-DEF","expires_in":"345","errcode":0,"errmsg":"ok"}"#,
                345,
            ),
            (
                r#"{"access_token":"80_abc-DEF","expires_in":99999999999}"#,
                7200,
            ),
        ] {
            let fetched = read_access_token(Api::StableToken, body.as_bytes()).expect(body);
            assert_eq!(
                (fetched.token.expose(), fetched.expires_in.as_secs()),
                ("80_abc-DEF", seconds)
            );
            assert!(!format!("{fetched:?}").contains("80_abc"));
        }
    }

    #[test]
    fn an_invalid_access_token_is_refused_and_not_repeated() {
        let long = format!(
            r#"{{"access_token":"secret{}","expires_in":7200}}"#,
            "x".repeat(3000)
        );
        for body in [
            r"{}",
            r#"{"access_token":"","expires_in":7200}"#,
            r#"{"access_token":"secret"}"#,
            r#"{"access_token":"secret","expires_in":0}"#,
            r#"{"access_token":"secret","expires_in":-1}"#,
            r#"{"access_token":"secret\n","expires_in":7200}"#,
            r#"{"access_token":"secret","expires_in":"soon"}"#,
            r#"{"access_token":"secret","expires_in":72"#,
            "<html>secret</html>",
            &long,
        ] {
            let error = read_access_token(Api::StableToken, body.as_bytes()).expect_err(body);
            assert!(matches!(error, CallError::Unanswered { .. }), "{body}");
            assert!(
                !format!("{error} {error:?}").contains("secret"),
                "{error:?}"
            );
        }
    }
}

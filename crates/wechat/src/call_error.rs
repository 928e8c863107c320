//! All ways in which a call of WeChat's API can fail.

use std::time::Duration;

use serde_json::Value;
use wxmint_upstream::{CallOutcome, Closed, FetchError, PAUSE};

use super::{Verdict, api, api::number_or_quoted};

/// The longest word of WeChat's messages that is logged. A `rid` has 26 characters; an openid has
/// 28, codes and AppSecrets have 32, and tokens have more.
const LONGEST_WORD: usize = 27;
/// The pause after errcode -1, for which WeChat's documentation says "retry shortly".
const BUSY_PAUSE: Duration = Duration::from_millis(100);

/// The result of a call of WeChat's API.
pub type Result<T, E = CallError> = std::result::Result<T, E>;

/// Why a call of WeChat's API failed. The error contains no URL, code, token or phone number.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// WeChat answered with an errcode.
    #[error("WeChat answered errcode {errcode} ({errmsg})")]
    Refused {
        /// Never 0.
        errcode: i64,
        /// WeChat's message with the `rid`, by which WeChat's support finds the call. It is
        /// shortened and has no control characters.
        errmsg: String,
        verdict: Verdict,
    },
    /// The request was not sent: its code is unused and may be sent again, after `retry_after`.
    #[error("the request to WeChat was not sent: {reason}")]
    NotSent {
        reason: String,
        retry_after: Duration,
    },
    /// The request was sent, and no usable response came: its code may be used up.
    #[error("WeChat gave no usable answer: {reason}")]
    Unanswered { reason: String },
    /// WeChat itself responded, but its response cannot be trusted: the request's code may be used
    /// up.
    #[error("WeChat gave an answer that cannot be used: {reason}")]
    Unusable { reason: String },
    /// The code comes from a page that WeChat shows as a snapshot, with a virtual person.
    #[error("WeChat named a virtual person, because the page is shown as a snapshot")]
    SnapshotUser,
}

impl CallError {
    pub(super) fn unanswered(reason: impl Into<String>) -> Self {
        Self::Unanswered {
            reason: reason.into(),
        }
    }

    /// The pause before a second attempt; `None` if there must be no second attempt.
    pub(super) fn pause_before_another(&self, spends_a_code: bool) -> Option<Duration> {
        match self {
            Self::NotSent { .. } => Some(Duration::ZERO),
            Self::Refused {
                verdict: Verdict::Busy,
                ..
            } => Some(BUSY_PAUSE),
            Self::Unanswered { .. } if !spends_a_code => Some(Duration::ZERO),
            _ => None,
        }
    }

    /// The error of a second attempt, if WeChat has received the first: the code may be used up
    /// even if the second was not sent.
    pub(super) fn after_an_answer(self) -> Self {
        match self {
            Self::NotSent { reason, .. } => Self::Unanswered { reason },
            other => other,
        }
    }

    /// The meaning of WeChat's `errcode`, if there was one.
    pub fn verdict(&self) -> Option<Verdict> {
        if let Self::Refused { verdict, .. } = self {
            Some(*verdict)
        } else {
            None
        }
    }

    /// The error in metrics and traces, from a bounded set.
    pub fn label(&self) -> String {
        let label = match self {
            Self::Refused { errcode, .. } => return api::label(*errcode),
            Self::NotSent { .. } => "not_sent",
            Self::Unanswered { .. } => "unanswered",
            Self::Unusable { .. } => "unusable",
            Self::SnapshotUser => "snapshot_user",
        };
        label.to_owned()
    }

    /// The outcome that the breaker counts. Most errcodes can be caused by the input of one client,
    /// so they must not affect other clients.
    pub(super) fn outcome(&self) -> CallOutcome {
        match self {
            Self::Refused {
                verdict: Verdict::Busy,
                ..
            } => CallOutcome::AppFailed,
            Self::NotSent { .. } | Self::Unanswered { .. } => CallOutcome::Unanswered,
            Self::Refused { .. } | Self::Unusable { .. } | Self::SnapshotUser => {
                CallOutcome::Succeeded
            }
        }
    }

    /// Turns an error of reading `body` into [`Self::Unusable`], which is not an outage, if WeChat
    /// itself wrote the body.
    pub(super) fn of_reading(self, body: &[u8]) -> Self {
        match self {
            Self::Unanswered { reason } if is_of_wechat(body) => Self::Unusable { reason },
            other => other,
        }
    }
}

impl From<FetchError> for CallError {
    fn from(error: FetchError) -> Self {
        match error {
            FetchError::NotSent(reason) => Self::NotSent {
                reason,
                retry_after: PAUSE,
            },
            FetchError::Unanswered(reason) => Self::Unanswered { reason },
        }
    }
}

impl From<Closed> for CallError {
    fn from(closed: Closed) -> Self {
        Self::NotSent {
            reason: closed.to_string(),
            retry_after: PAUSE,
        }
    }
}

/// The members by which WeChat's own answers are recognized.
const OF_WECHAT: [&str; 4] = ["errcode", "openid", "authorizer_info", "authorization_info"];

/// Whether WeChat itself wrote the body: it has an `errcode`, a person's `openid`, or the data of a
/// merchant. A gateway's error page has none of them, even if it is JSON. An answer that is not
/// valid JSON because of a person's text also counts as WeChat's, because it is not an outage.
fn is_of_wechat(body: &[u8]) -> bool {
    let text = String::from_utf8_lossy(body);
    let answer = serde_json::from_slice::<Value>(body);
    OF_WECHAT.into_iter().any(|name| match &answer {
        Ok(answer) if name == "errcode" => number_or_quoted(&answer[name]).is_ok(),
        Ok(answer) => !answer[name].is_null(),
        Err(_) => text.trim_start().starts_with('{') && text.contains(&format!("\"{name}\"")),
    })
}

/// Shortens WeChat's message to one short line for the log. Words longer than a `rid` are left out,
/// because they may be a secret that the call has sent.
pub(super) fn loggable(errmsg: &str) -> String {
    let is_of_word =
        |character: char| character.is_ascii_alphanumeric() || character == '_' || character == '-';
    let line: String = errmsg
        .chars()
        .filter(|character| !character.is_control())
        .take(200)
        .collect();
    line.split_inclusive(|character| !is_of_word(character))
        .map(|word| {
            if word.trim_end_matches(|last| !is_of_word(last)).len() > LONGEST_WORD {
                "… "
            } else {
                word
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde::de::IgnoredAny;

    use super::*;
    use crate::{Api, client::read};

    fn refusal(api: Api, body: &str) -> (i64, String, Verdict) {
        match read::<IgnoredAny>(api, body.as_bytes()) {
            Err(CallError::Refused {
                errcode,
                errmsg,
                verdict,
            }) => (errcode, errmsg, verdict),
            other => panic!("refused: {other:?}"),
        }
    }

    #[test]
    fn an_errcode_may_be_a_number_or_a_string_and_its_message_keeps_the_rid() {
        for body in [
            r#"{"errcode":40029,"errmsg":"invalid code, rid: 66c69111-4157f271-729ca238"}"#,
            r#"{"errcode":"40029","errmsg":"invalid code, rid: 66c69111-4157f271-729ca238","phone_info":null}"#,
        ] {
            let (errcode, errmsg, verdict) = refusal(Api::Code2Session, body);
            assert_eq!((errcode, verdict), (40029, Verdict::CodeInvalid));
            assert!(errmsg.ends_with("66c69111-4157f271-729ca238"));
        }
    }

    #[test]
    fn the_same_errcode_may_mean_something_else_in_another_call() {
        for (errcode, api, verdict) in [
            (40001, Api::PhoneNumber, Verdict::BadAccessToken),
            (40014, Api::PhoneNumber, Verdict::BadAccessToken),
            (42001, Api::PhoneNumber, Verdict::BadAccessToken),
            (40001, Api::StableToken, Verdict::Misconfigured),
            (40013, Api::PhoneNumber, Verdict::CodeInvalid),
            (40013, Api::StableToken, Verdict::Misconfigured),
            (40003, Api::PhoneNumber, Verdict::CodeInvalid),
            (40003, Api::CheckSession, Verdict::Misconfigured),
            (40013, Api::CheckSession, Verdict::Misconfigured),
            (41001, Api::CheckSession, Verdict::Misconfigured),
            (87008, Api::CheckSession, Verdict::Misconfigured),
            (40029, Api::CheckSession, Verdict::Unknown),
            (40163, Api::CheckSession, Verdict::Unknown),
            (40029, Api::Oauth2, Verdict::CodeInvalid),
            (42003, Api::Oauth2, Verdict::CodeInvalid),
            (40163, Api::Oauth2, Verdict::CodeUsed),
            (50002, Api::Oauth2, Verdict::PersonRefused),
            (45011, Api::Oauth2, Verdict::SlowDown),
            (40001, Api::Oauth2, Verdict::Misconfigured),
            (40013, Api::Oauth2, Verdict::Misconfigured),
            (40125, Api::Oauth2, Verdict::Misconfigured),
            (41008, Api::Oauth2, Verdict::Misconfigured),
            (43003, Api::CheckSession, Verdict::Misconfigured),
            (48004, Api::Code2Session, Verdict::Misconfigured),
            (89501, Api::StableToken, Verdict::Misconfigured),
            (40230, Api::PhoneNumber, Verdict::Misconfigured),
            (40240, Api::StableToken, Verdict::Misconfigured),
            (12345, Api::PhoneNumber, Verdict::Unknown),
        ] {
            assert_eq!(
                refusal(api, &format!(r#"{{"errcode":{errcode}}}"#)).2,
                verdict,
                "{errcode} of {api:?}"
            );
        }
    }

    #[test]
    fn a_code_that_was_sent_once_never_counts_as_unsent_again() {
        let unsent = CallError::NotSent {
            reason: "refused".into(),
            retry_after: Duration::from_secs(1),
        };
        assert_eq!(unsent.after_an_answer(), CallError::unanswered("refused"));
    }

    #[test]
    fn errcode_minus_one_is_the_apps_outage_and_a_body_that_is_not_wechats_is_everybodys() {
        use CallOutcome::{AppFailed, Succeeded, Unanswered};
        let read = |body: &str| {
            crate::read_session(Api::Code2Session, body.as_bytes())
                .map_err(|error| error.of_reading(body.as_bytes()))
        };
        for (body, outcome) in [
            (r#"{"errcode":-1,"errmsg":"system error"}"#, AppFailed),
            (
                r#"{"errcode":45009,"errmsg":"reach max api daily quota limit"}"#,
                Succeeded,
            ),
            (
                r#"{"errcode":61024,"errmsg":"a code that we do not know"}"#,
                Succeeded,
            ),
            (r#"{"errcode":"40029"}"#, Succeeded),
            (r#"{"errcode":0}"#, Succeeded),
            (
                r#"{"openid":"two words","session_key":"D1ZWEygStjuLCnZ9IN2l4Q=="}"#,
                Succeeded,
            ),
            (r#"{"errcode":"soon"}"#, Unanswered),
            (
                r#"{"message":"no Route matched with those values"}"#,
                Unanswered,
            ),
            (r#"{"openid":"o","nickname":"a"b"}"#, Succeeded),
            (r#"<html>"errcode"</html>"#, Unanswered),
            ("{}", Unanswered),
            ("<html>502</html>", Unanswered),
            ("", Unanswered),
        ] {
            assert_eq!(read(body).expect_err(body).outcome(), outcome, "{body}");
        }
    }

    #[test]
    fn a_message_cannot_forge_a_log_line() {
        assert_eq!(
            refusal(Api::Code2Session, r#"{"errcode":1,"errmsg":"a\nb\u001bc"}"#).1,
            "abc"
        );
        let echoed = r#"{"errcode":40001,"errmsg":"invalid token 80_0123456789abcdef0123456789, rid: 66c69111-4157f271-729ca238"}"#;
        assert_eq!(
            refusal(Api::UserInfo, echoed).1,
            "invalid token …  rid: 66c69111-4157f271-729ca238"
        );
    }
}

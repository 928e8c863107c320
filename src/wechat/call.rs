//! What all answers of WeChat have in common, and all ways in which there is none.

use std::time::Duration;

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, IgnoredAny},
};

use super::{Api, Verdict};
use crate::upstream::{Closed, FetchError};

/// Why a call of WeChat's did not do what it should. Holds no URL, code, token or phone number.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// WeChat answered with an `errcode`.
    #[error("WeChat answered errcode {errcode} ({errmsg})")]
    Refused {
        /// The code, never 0.
        errcode: i64,
        /// WeChat's words, with the `rid` by which its support finds the call; cut, and without control characters.
        errmsg: String,
        /// What the code means.
        verdict: Verdict,
    },
    /// The request did not leave: a code in it is unspent, and may be sent again.
    #[error("WeChat was not asked: {reason}")]
    NotSent {
        /// What stood in the way.
        reason: String,
        /// When it is worth asking again.
        retry_after: Duration,
    },
    /// The request left, and no answer came that can be believed: a code in it may be spent.
    #[error("WeChat gave no usable answer: {reason}")]
    Unanswered {
        /// What came instead.
        reason: String,
    },
    /// WeChat answered in its own form, and something in the answer cannot be believed: a code in the request may be
    /// spent.
    #[error("WeChat gave an answer that cannot be used: {reason}")]
    Unusable {
        /// What is wrong with it.
        reason: String,
    },
}

impl CallError {
    pub(super) fn unanswered(reason: impl Into<String>) -> Self {
        Self::Unanswered { reason: reason.into() }
    }

    /// This error of a second attempt, where the first was received: whatever became of the second, a code may be
    /// spent.
    pub(super) fn after_an_answer(self) -> Self {
        match self {
            Self::NotSent { reason, .. } => Self::Unanswered { reason },
            other => other,
        }
    }

    /// What WeChat meant, if it said anything.
    pub fn verdict(&self) -> Option<Verdict> {
        match self {
            Self::Refused { verdict, .. } => Some(*verdict),
            Self::NotSent { .. } | Self::Unanswered { .. } | Self::Unusable { .. } => None,
        }
    }

    /// Whether WeChat itself, and not this one request, is in trouble: it did not answer, or said -1. Decides over the
    /// breaker. Everything else may follow from what one client has sent, and must not keep the others out.
    pub(super) fn is_outage(&self) -> bool {
        match self {
            Self::Refused { verdict, .. } => *verdict == Verdict::Busy,
            Self::NotSent { .. } | Self::Unanswered { .. } => true,
            Self::Unusable { .. } => false,
        }
    }

    /// This error of reading `body`, which is no outage if WeChat itself has written the body.
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
            FetchError::NotSent(reason) => Self::NotSent { reason, retry_after: Closed::RETRY_AFTER },
            FetchError::Unanswered(reason) => Self::Unanswered { reason },
        }
    }
}

impl From<Closed> for CallError {
    fn from(closed: Closed) -> Self {
        Self::NotSent { reason: closed.reason().into(), retry_after: Closed::RETRY_AFTER }
    }
}

/// How a call went. WeChat sends this and what was asked for with one status and one content type.
#[derive(Deserialize)]
struct Outcome {
    #[serde(default, deserialize_with = "number_or_quoted")]
    errcode: i64,
    #[serde(default)]
    errmsg: Option<String>,
}

/// Whether a body has WeChat's form: an `errcode`, or the `openid` of a login that succeeded. A gateway's error page, also
/// in JSON, has neither.
fn is_of_wechat(body: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Form {
        #[serde(default, deserialize_with = "is_number")]
        errcode: bool,
        openid: Option<IgnoredAny>,
    }
    fn is_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
        number_or_quoted(deserializer).map(|_| true)
    }
    from_json::<Form>(body).is_ok_and(|form| form.errcode || form.openid.is_some())
}

/// Reads the body of an answer: what was asked for, or WeChat's refusal. The status and the content type say nothing
/// and are not asked for.
pub(super) fn read<T: DeserializeOwned>(api: Api, body: &[u8]) -> Result<T, CallError> {
    let Outcome { errcode, errmsg } = from_json(body)?;
    if errcode == 0 {
        return from_json(body);
    }
    let errmsg = loggable(&errmsg.unwrap_or_default());
    Err(CallError::Refused { errcode, errmsg, verdict: Verdict::of(api, errcode) })
}

fn from_json<T: DeserializeOwned>(body: &[u8]) -> Result<T, CallError> {
    // serde_json's message may quote what it read, and that may be a session_key.
    serde_json::from_slice(body)
        .map_err(|_| CallError::unanswered(format!("{} bytes that are not its JSON", body.len())))
}

/// A member that must be there to be believed, and is not when it is empty.
pub(super) fn believed(member: Option<String>) -> Option<String> {
    member.filter(|text| !text.is_empty())
}

/// WeChat sends some numbers either way.
pub(super) fn number_or_quoted<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Form {
        Number(i64),
        Quoted(String),
    }
    match Form::deserialize(deserializer)? {
        Form::Number(number) => Ok(number),
        Form::Quoted(text) => text.parse().map_err(|_| serde::de::Error::custom("not a number")),
    }
}

/// WeChat's message as it may stand in a log: short, and on one line.
fn loggable(errmsg: &str) -> String {
    errmsg.chars().filter(|character| !character.is_control()).take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(api: Api, body: &str) -> (i64, String, Verdict) {
        match read::<IgnoredAny>(api, body.as_bytes()) {
            Err(CallError::Refused { errcode, errmsg, verdict }) => (errcode, errmsg, verdict),
            other => panic!("refused: {other:?}"),
        }
    }

    #[test]
    fn an_errcode_is_a_number_or_a_quoted_one_and_keeps_its_rid() {
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
    fn one_errcode_may_mean_something_else_in_another_call() {
        for (errcode, api, verdict) in [
            (40001, Api::PhoneNumber, Verdict::BadAccessToken),
            (40014, Api::PhoneNumber, Verdict::BadAccessToken),
            (42001, Api::PhoneNumber, Verdict::BadAccessToken),
            (40001, Api::StableToken, Verdict::Misconfigured),
            (40013, Api::PhoneNumber, Verdict::CodeInvalid),
            (40013, Api::StableToken, Verdict::Misconfigured),
            (40003, Api::PhoneNumber, Verdict::CodeInvalid),
            (12345, Api::PhoneNumber, Verdict::Unknown),
        ] {
            assert_eq!(refusal(api, &format!(r#"{{"errcode":{errcode}}}"#)).2, verdict, "{errcode} of {api:?}");
        }
    }

    #[test]
    fn a_code_that_was_received_once_never_counts_as_unsent_again() {
        let unsent = CallError::NotSent { reason: "refused".into(), retry_after: Duration::from_secs(1) };
        assert_eq!(unsent.after_an_answer(), CallError::unanswered("refused"));
    }

    #[test]
    fn only_minus_one_and_what_wechat_has_not_written_are_an_outage() {
        let read =
            |body: &str| crate::wechat::read_answer(body.as_bytes()).map_err(|error| error.of_reading(body.as_bytes()));
        for (body, outage) in [
            (r#"{"errcode":-1,"errmsg":"system error"}"#, true),
            (r#"{"errcode":61024,"errmsg":"a code that we do not know"}"#, false),
            (r#"{"errcode":"40029"}"#, false),
            (r#"{"errcode":0}"#, false),
            (r#"{"openid":"two words","session_key":"D1ZWEygStjuLCnZ9IN2l4Q=="}"#, false),
            (r#"{"errcode":"soon"}"#, true),
            (r#"{"message":"no Route matched with those values"}"#, true),
            ("{}", true),
            ("<html>502</html>", true),
            ("", true),
        ] {
            assert_eq!(read(body).expect_err(body).is_outage(), outage, "{body}");
        }
    }

    #[test]
    fn a_message_cannot_forge_a_log_line() {
        assert_eq!(refusal(Api::Code2Session, r#"{"errcode":1,"errmsg":"a\nb\u001bc"}"#).1, "abc");
    }
}

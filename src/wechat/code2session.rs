//! The answer of code2Session, read liberally and believed strictly.

use std::time::Duration;

use serde::{Deserialize, Deserializer};

use super::{SessionKey, Verdict};
use crate::ids::{OpenId, UnionId};

/// What a login code was exchanged for.
#[derive(Debug, Clone)]
pub struct Session {
    /// The person in this app.
    pub openid: OpenId,
    /// The person in all apps of the owner, where WeChat knows one.
    pub unionid: Option<UnionId>,
    /// Never leaves the process but sealed.
    pub session_key: SessionKey,
}

/// Why a code was not exchanged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExchangeError {
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
    /// The request did not leave: the code is unspent, and may be sent again.
    #[error("WeChat was not asked: {reason}")]
    NotSent {
        /// What stood in the way.
        reason: String,
        /// When it is worth asking again.
        retry_after: Duration,
    },
    /// The request left, and no answer came that can be believed: the code may be spent.
    #[error("WeChat gave no usable answer: {reason}")]
    Unanswered {
        /// What came instead.
        reason: String,
    },
}

impl ExchangeError {
    pub(super) fn unanswered(reason: impl Into<String>) -> Self {
        Self::Unanswered { reason: reason.into() }
    }

    /// This error of a second attempt, where the first was received: whatever became of the second, the code may be
    /// spent.
    pub(super) fn after_an_answer(self) -> Self {
        match self {
            Self::NotSent { reason, .. } => Self::Unanswered { reason },
            other => other,
        }
    }

    /// Whether WeChat itself, and not this one request, is in trouble. Decides over the breaker.
    pub(super) fn is_outage(&self) -> bool {
        match self {
            Self::Refused { verdict, .. } => matches!(verdict, Verdict::Busy | Verdict::Unknown),
            Self::NotSent { .. } | Self::Unanswered { .. } => true,
        }
    }
}

/// WeChat's members, success and failure in one: it sends them with one status and one content type.
#[derive(Deserialize)]
struct Answer {
    #[serde(default, deserialize_with = "number_or_quoted")]
    errcode: i64,
    #[serde(default)]
    errmsg: Option<String>,
    #[serde(default)]
    openid: Option<String>,
    #[serde(default)]
    unionid: Option<String>,
    #[serde(default)]
    session_key: Option<String>,
}

fn number_or_quoted<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Form {
        Number(i64),
        Quoted(String),
    }
    match Form::deserialize(deserializer)? {
        Form::Number(number) => Ok(number),
        Form::Quoted(text) => text.parse().map_err(|_| serde::de::Error::custom("errcode is not a number")),
    }
}

/// Reads the body of an answer to code2Session. Its status and content type say nothing and are not asked for.
pub fn read_answer(body: &[u8]) -> Result<Session, ExchangeError> {
    // serde_json's message may quote what it read, and that may be a session_key.
    let answer: Answer = serde_json::from_slice(body)
        .map_err(|_| ExchangeError::unanswered(format!("{} bytes that are not its JSON", body.len())))?;
    if answer.errcode != 0 {
        return Err(ExchangeError::Refused {
            errcode: answer.errcode,
            errmsg: loggable(&answer.errmsg.unwrap_or_default()),
            verdict: Verdict::of(answer.errcode),
        });
    }
    let believed = |member: Option<String>| member.filter(|text| !text.is_empty());
    let (Some(openid), Some(session_key)) = (believed(answer.openid), believed(answer.session_key)) else {
        return Err(ExchangeError::unanswered("neither an errcode nor both of openid and session_key"));
    };
    Ok(Session {
        openid: openid.parse().map_err(|error| ExchangeError::unanswered(format!("an openid that {error}")))?,
        unionid: believed(answer.unionid)
            .map(|unionid| unionid.parse())
            .transpose()
            .map_err(|error| ExchangeError::unanswered(format!("a unionid that {error}")))?,
        session_key: SessionKey::new(session_key),
    })
}

/// WeChat's message as it may stand in a log: short, and on one line.
fn loggable(errmsg: &str) -> String {
    errmsg.chars().filter(|character| !character.is_control()).take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answers_that_were_seen_are_read() {
        let escaped = br#"{"session_key":"O\/YVQPHxQY18DrsFq+\/bjQ==","openid":"o000000000000000000000000000","unionid":"o111111111111111111111111111"}"#;
        let session = read_answer(escaped).expect("a session");
        assert_eq!(session.session_key.expose(), "O/YVQPHxQY18DrsFq+/bjQ==");
        assert_eq!(session.unionid.expect("a unionid").as_str(), "o111111111111111111111111111");
        let legacy = br#"{"session_key":"D1ZWEygStjuLCnZ9IN2l4Q==","expires_in":7200,"openid":"o16wA0b4AZKzgVJR3MBwoUdTfU_E","errcode":0,"unionid":""}"#;
        assert!(read_answer(legacy).expect("a session").unionid.is_none());
    }

    #[test]
    fn an_errcode_is_a_number_or_a_quoted_one_and_keeps_its_rid() {
        for body in [
            br#"{"errcode":40029,"errmsg":"invalid code, rid: 66c69111-4157f271-729ca238"}"#.as_slice(),
            br#"{"errcode":"40029","errmsg":"invalid code, rid: 66c69111-4157f271-729ca238"}"#,
        ] {
            let Err(ExchangeError::Refused { errcode, errmsg, verdict }) = read_answer(body) else {
                panic!("refused");
            };
            assert_eq!((errcode, verdict), (40029, Verdict::CodeInvalid));
            assert!(errmsg.ends_with("66c69111-4157f271-729ca238"));
        }
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
            let error = read_answer(body.as_bytes()).expect_err(body);
            assert!(matches!(error, ExchangeError::Unanswered { .. }), "{body}");
            assert!(!format!("{error} {error:?}").contains("secret-key"));
        }
    }

    #[test]
    fn a_code_that_was_received_once_never_counts_as_unsent_again() {
        let unsent = ExchangeError::NotSent { reason: "refused".into(), retry_after: Duration::from_secs(1) };
        assert_eq!(unsent.after_an_answer(), ExchangeError::unanswered("refused"));
    }

    #[test]
    fn a_message_cannot_forge_a_log_line() {
        let Err(ExchangeError::Refused { errmsg, .. }) = read_answer(br#"{"errcode":1,"errmsg":"a\nb\u001bc"}"#) else {
            panic!("refused");
        };
        assert_eq!(errmsg, "abc");
    }
}

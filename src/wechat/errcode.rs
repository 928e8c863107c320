//! WeChat's error codes, and what each one means for the login.

use super::Api;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// WeChat is busy: retry once after a short pause.
    Busy,
    /// The code is wrong, expired, or another app's: the mini program must get another (`wx.login`, or the phone
    /// number's button).
    CodeInvalid,
    /// The code was used before: the mini program must get another.
    CodeUsed,
    /// WeChat considers this person a risk or has restricted them: refuse without a retry.
    PersonRefused,
    /// This person logs in too often: retry in a minute.
    SlowDown,
    /// The access token is wrong or expired: fetch another and retry once.
    BadAccessToken,
    /// The session key is no longer the current one: the mini program must log in again.
    StaleSession,
    /// The operator must fix the configuration at WeChat: AppID, AppSecret, IP whitelist, quota or rights.
    Misconfigured,
    /// Our own request was wrong. The operator cannot fix it; a metric shows it.
    OurBug,
    /// The code is in no list that we know. The client is told to retry later, because nothing says what else would
    /// help.
    Unknown,
}

/// The meaning of each errcode, from WeChat's documentation and the lists of public SDKs.
const TABLE: &[(i64, Verdict)] = &[
    (-1, Verdict::Busy),
    (40001, Verdict::BadAccessToken),
    (40002, Verdict::OurBug),
    (40003, Verdict::OurBug),
    (40013, Verdict::Misconfigured),
    (40014, Verdict::BadAccessToken),
    (40029, Verdict::CodeInvalid),
    (40125, Verdict::Misconfigured),
    (40163, Verdict::CodeUsed),
    (40164, Verdict::Misconfigured),
    (40226, Verdict::PersonRefused),
    (40243, Verdict::Misconfigured),
    (41001, Verdict::OurBug),
    (41002, Verdict::OurBug),
    (41004, Verdict::OurBug),
    (41008, Verdict::OurBug),
    (41009, Verdict::OurBug),
    (41029, Verdict::CodeInvalid),
    (42001, Verdict::BadAccessToken),
    (43001, Verdict::OurBug),
    (43002, Verdict::OurBug),
    (44002, Verdict::OurBug),
    (45009, Verdict::Misconfigured),
    (45011, Verdict::SlowDown),
    (47001, Verdict::OurBug),
    (48001, Verdict::Misconfigured),
    (50002, Verdict::PersonRefused),
    (87007, Verdict::StaleSession),
    (87008, Verdict::OurBug),
    (87009, Verdict::StaleSession),
    (89503, Verdict::Misconfigured),
    (89506, Verdict::Misconfigured),
    (89507, Verdict::Misconfigured),
];

/// The meanings for calls that are authenticated by the AppSecret.
const OF_SECRETS: &[(i64, Verdict)] = &[(40001, Verdict::Misconfigured)];

/// The meanings for phone codes. The access token was just accepted and the openid is WeChat's own, so it is the code
/// that belongs to another app or another person.
const OF_PHONE_CODES: &[(i64, Verdict)] = &[(40003, Verdict::CodeInvalid), (40013, Verdict::CodeInvalid)];

impl Verdict {
    /// The meaning of an `errcode` other than 0 in a response of `api`.
    pub fn of(api: Api, errcode: i64) -> Self {
        let of_its_own = match api {
            Api::Code2Session | Api::StableToken => OF_SECRETS,
            Api::PhoneNumber => OF_PHONE_CODES,
            Api::CheckSession | Api::ResetSessionKey => &[],
        };
        let known = of_its_own.iter().chain(TABLE).find(|(code, _)| *code == errcode);
        let verdict = known.map_or(Self::Unknown, |&(_, verdict)| verdict);
        match (api, verdict) {
            // The errcode is about a code, but these calls send none.
            (Api::StableToken | Api::CheckSession | Api::ResetSessionKey, Self::CodeInvalid | Self::CodeUsed) => {
                Self::Unknown
            }
            (_, verdict) => verdict,
        }
    }
}

/// The label under which an `errcode` is counted. Unknown codes count as `other`, so that the number of labels is
/// bounded.
pub(super) fn label(errcode: i64) -> String {
    match TABLE.iter().any(|(known, _)| *known == errcode) {
        true => errcode.to_string(),
        false => "other".into(),
    }
}

//! WeChat's error codes, and whose problem each is.

use super::Api;

/// What an `errcode` means for the login.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// WeChat is busy: ask once more, shortly.
    Busy,
    /// Wrong, expired, or another app's code: the mini program gets another (`wx.login`, the phone number's button).
    CodeInvalid,
    /// The code is spent: the mini program gets another.
    CodeUsed,
    /// A person whom WeChat considers a risk, or has limited: refused, no retry.
    PersonRefused,
    /// This person asks too often; the minute after is another.
    SlowDown,
    /// The access token is wrong or has expired: replace it, and ask once more.
    BadAccessToken,
    /// The session key is not the one that WeChat has for the person: the mini program logs in again.
    StaleSession,
    /// The operator has something to mend at WeChat: AppID, AppSecret, IP whitelist, quota, rights.
    Misconfigured,
    /// Our own request was wrong. The operator cannot mend it, and a metric shows it.
    OurBug,
    /// Not in any list that we know. The client is told to come again, because nothing says what else would help.
    Unknown,
}

/// errcode, and what it means. From WeChat's documentation and from public SDKs' lists.
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

/// Where the AppSecret is what WeChat calls a credential.
const OF_SECRETS: &[(i64, Verdict)] = &[(40001, Verdict::Misconfigured)];

/// Where the app stands for itself by an access token that was just believed, and the openid is WeChat's own: it is the
/// code that is another app's or another person's.
const OF_PHONE_CODES: &[(i64, Verdict)] = &[(40003, Verdict::CodeInvalid), (40013, Verdict::CodeInvalid)];

impl Verdict {
    /// The meaning of an `errcode` other than 0, as an answer of `api`.
    pub fn of(api: Api, errcode: i64) -> Self {
        let of_its_own = match api {
            Api::Code2Session | Api::StableToken => OF_SECRETS,
            Api::PhoneNumber => OF_PHONE_CODES,
            Api::CheckSession | Api::ResetSessionKey => &[],
        };
        let known = of_its_own.iter().chain(TABLE).find(|(code, _)| *code == errcode);
        let verdict = known.map_or(Self::Unknown, |&(_, verdict)| verdict);
        match (api, verdict) {
            // Said of a code, where none was sent.
            (Api::StableToken | Api::CheckSession | Api::ResetSessionKey, Self::CodeInvalid | Self::CodeUsed) => {
                Self::Unknown
            }
            (_, verdict) => verdict,
        }
    }
}

/// The name under which an `errcode` is counted. WeChat may invent others than we know, which count as `other`, so that
/// a metric's labels stay bounded.
pub(super) fn label(errcode: i64) -> String {
    match TABLE.iter().any(|(known, _)| *known == errcode) {
        true => errcode.to_string(),
        false => "other".into(),
    }
}

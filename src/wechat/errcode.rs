//! WeChat's error codes, and whose problem each is.

/// What an `errcode` of code2Session means for the login.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// WeChat is busy: ask once more, shortly.
    Busy,
    /// Wrong, expired, or another app's code: the mini program calls `wx.login` again, once.
    CodeInvalid,
    /// The code is spent: the mini program calls `wx.login` again.
    CodeUsed,
    /// A person whom WeChat considers a risk, or has limited: refused, no retry.
    PersonRefused,
    /// This person asks too often; the minute after is another.
    SlowDown,
    /// The operator has something to mend at WeChat: AppID, AppSecret, IP whitelist, quota.
    Misconfigured,
    /// Our own request was wrong. The operator cannot mend it, and a metric shows it.
    OurBug,
    /// Not in any list we know; treated as an outage, since nothing says what to do.
    Unknown,
}

/// errcode, and what it means. From WeChat's documentation and from public SDKs' lists.
const TABLE: &[(i64, Verdict)] = &[
    (-1, Verdict::Busy),
    (40002, Verdict::OurBug),
    (40013, Verdict::Misconfigured),
    (40029, Verdict::CodeInvalid),
    (40125, Verdict::Misconfigured),
    (40163, Verdict::CodeUsed),
    (40164, Verdict::Misconfigured),
    (40226, Verdict::PersonRefused),
    (40243, Verdict::Misconfigured),
    (41002, Verdict::OurBug),
    (41004, Verdict::OurBug),
    (41008, Verdict::OurBug),
    (41029, Verdict::CodeInvalid),
    (45009, Verdict::Misconfigured),
    (45011, Verdict::SlowDown),
    (48001, Verdict::Misconfigured),
    (50002, Verdict::PersonRefused),
];

impl Verdict {
    /// The meaning of an `errcode` other than 0.
    pub fn of(errcode: i64) -> Self {
        TABLE.iter().find(|(code, _)| *code == errcode).map_or(Self::Unknown, |&(_, verdict)| verdict)
    }
}

/// The name under which an `errcode` is counted. WeChat may invent others than we know, which count as `other`, so that
/// a metric's labels stay bounded.
pub(super) fn label(errcode: i64) -> String {
    if Verdict::of(errcode) == Verdict::Unknown { "other".into() } else { errcode.to_string() }
}

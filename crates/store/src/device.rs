//! Scan to log in: the requests of pages that wait for a phone (RFC 8628), and which pages have tokens of whom.

use std::{fmt, str::FromStr, time::Duration};

use async_trait::async_trait;
use aws_lc_rs::{error::Unspecified, rand};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use wxmint_ids::{AppId, Person, UserId, unprintable};

use super::{Issued, Result, limits::TooMany, short_digest};

/// How long a page waits for the phone.
pub const DEVICE_TTL: Duration = Duration::from_secs(180);

/// How long a page that still asks is told how its request has ended.
pub const DEVICE_END_KEPT: Duration = Duration::from_secs(10 * 60);

/// How long a page pauses between two asks, and how much longer after each ask that came too soon (RFC 8628 section 3.5).
pub const POLL_INTERVAL: Duration = Duration::from_secs(2);
pub(super) const POLL_SLOWER: Duration = Duration::from_secs(5);
/// An ask may be so much too soon, because timers and networks are not exact.
pub(super) const POLL_TOLERANCE: Duration = Duration::from_millis(200);

/// How many requests of one address may be open.
pub const MOST_OPEN: usize = 20;

/// How often WeChat is asked for the mini-program code of one request.
pub const MOST_PICTURES: u32 = 3;

/// RFC 8628 section 6.1: no vowels, so that no code is a word, and nothing that is easily confused.
const LETTERS: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";

/// What the phone sends: eight letters. Whoever has it can look at the request, so it does not print.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct UserCode([u8; 8]);

/// What the page asks with: 256 bits, of which 216 are random. The others are the user code, under which the request is stored.
#[derive(Clone, PartialEq, Eq)]
pub struct DeviceCode(UserCode, String);

unprintable!(UserCode);
unprintable!(DeviceCode);

/// The text is no user code. The error does not repeat it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be the eight letters of a user code, such as WDJB-MJHT")]
pub struct InvalidUserCode;

/// The text is no device code. The error does not repeat it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be the 43 characters of a device_code")]
pub struct InvalidDeviceCode;

/// As it stands in a Redis key, and in the `scene` of a mini-program code.
impl fmt::Display for UserCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|letter| write!(f, "{}", char::from(*letter)))
    }
}

impl FromStr for UserCode {
    type Err = InvalidUserCode;

    /// Without regard to case, blanks and hyphens.
    fn from_str(text: &str) -> Result<Self, InvalidUserCode> {
        let letters = text.bytes().filter(|byte| !b" -".contains(byte)).map(|byte| byte.to_ascii_uppercase());
        let letters: Vec<_> = letters.take(9).collect();
        let code: [u8; 8] = letters.try_into().map_err(|_| InvalidUserCode)?;
        code.iter().all(|letter| LETTERS.contains(letter)).then_some(Self(code)).ok_or(InvalidUserCode)
    }
}

impl UserCode {
    /// As a person reads it: `WDJB-MJHT`.
    pub fn shown(&self) -> String {
        let code = self.to_string();
        [&code[..4], "-", &code[4..]].concat()
    }
}

impl DeviceCode {
    pub fn random() -> Result<Self, Unspecified> {
        let mut bytes = [0; 32];
        rand::fill(&mut bytes)?;
        let mut number = u64::from_be_bytes(bytes[..8].try_into().expect("eight bytes"));
        let code = UserCode([(); 8].map(|()| {
            let letter = LETTERS[(number % 20) as usize];
            number /= 20;
            letter
        }));
        bytes[..5].copy_from_slice(&code.number().to_be_bytes()[3..]);
        Ok(Self(code, URL_SAFE_NO_PAD.encode(bytes)))
    }

    pub fn user_code(&self) -> &UserCode {
        &self.0
    }

    /// As the page gets it.
    pub fn expose(&self) -> &str {
        &self.1
    }

    /// What is stored of it.
    pub(super) fn digest(&self) -> String {
        short_digest(&self.1).to_string()
    }
}

impl UserCode {
    fn number(&self) -> u64 {
        let digit = |letter: &u8| LETTERS.iter().position(|other| other == letter).unwrap_or_default() as u64;
        self.0.iter().fold(0, |number, letter| number * 20 + digit(letter))
    }
}

impl FromStr for DeviceCode {
    type Err = InvalidDeviceCode;

    fn from_str(text: &str) -> Result<Self, InvalidDeviceCode> {
        let bytes: [u8; 32] =
            URL_SAFE_NO_PAD.decode(text).ok().and_then(|bytes| bytes.try_into().ok()).ok_or(InvalidDeviceCode)?;
        let mut number = bytes[..5].iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
        let mut letters = [0; 8];
        for letter in letters.iter_mut().rev() {
            *letter = LETTERS[(number % 20) as usize];
            number /= 20;
        }
        if number > 0 { Err(InvalidDeviceCode) } else { Ok(Self(UserCode(letters), text.to_owned())) }
    }
}

/// What a page has asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceRequest {
    /// Who asks.
    pub client: AppId,
    /// Whose users may say yes.
    pub app: AppId,
    /// The page's, as limits count it.
    pub address: String,
    pub user_agent: String,
    /// The numbers from which the person must choose the one that the page shows, and which one that is.
    pub numbers: Option<([String; 3], String)>,
}

/// What became of a request to open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opened {
    Open,
    /// Another request has this user code.
    Collides,
    /// The address has [`MOST_OPEN`] open requests.
    TooMany(TooMany),
}

/// A request that waits for a phone, or was approved by one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundDevice {
    pub request: DeviceRequest,
    /// Seconds since 1970 by the store's clock.
    pub requested_at: i64,
    pub expires_in: Duration,
    /// Who has approved it.
    pub approver: Option<Approver>,
}

/// A person, as the record of an approval names one: the store keeps no openid for it.
#[derive(Clone, PartialEq, Eq)]
pub struct Approver(pub(super) String);
unprintable!(Approver);

impl Approver {
    pub fn of(person: &Person) -> Self {
        Self(short_digest(&[person.app.as_str(), person.openid.as_str()].join(":")).to_string())
    }
}

/// Whether a person may approve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decided {
    /// The request waits for [`Devices::approve_device`] of this person, and of nobody else.
    Claimed,
    /// This person has approved it.
    Approved,
    /// The number is wrong, which has spoiled the request for good.
    WrongNumber,
    /// There is no such request, or not any more.
    Gone,
}

/// The token that an approval grants; it is signed when the page fetches it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// Its `app` is the client.
    pub token: Issued,
    /// The claims of the account backend, as JSON.
    pub claims: String,
}

/// What a page that asks is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Poll {
    /// No request has this device code, or another client's has.
    Unknown,
    Pending {
        scanned: bool,
    },
    TooSoon,
    Denied,
    Expired,
    /// Once.
    Granted(Grant),
    /// The token was fetched before: this one.
    Repeated(Issued),
}

#[async_trait(?Send)]
pub trait Devices {
    /// Stores a request for [`DEVICE_TTL`], and its end for [`DEVICE_END_KEPT`].
    async fn open_device(&self, code: &DeviceCode, request: &DeviceRequest) -> Result<Opened>;

    /// Finds a request that a phone of this app may approve, or that one has approved. With `scanned` it is noted that a phone has
    /// looked at it.
    async fn find_device(&self, code: &UserCode, scanned: Option<&AppId>) -> Result<Option<FoundDevice>>;

    /// Counts a mini-program code of an open request. False after [`MOST_PICTURES`], or if there is no such request.
    async fn count_picture(&self, code: &UserCode) -> Result<bool>;

    /// Begins an approval. `number`: the one that the person has chosen.
    async fn claim_device(&self, code: &UserCode, person: &Approver, number: Option<&str>) -> Result<Decided>;

    /// Approves what this person has claimed. False if it has expired, was denied, or its token was fetched meanwhile.
    async fn approve_device(&self, code: &UserCode, person: &Approver, grant: &Grant) -> Result<bool>;

    /// Denies a request that nobody has approved. False if there is none.
    async fn deny_device(&self, code: &UserCode) -> Result<bool>;

    /// Tells a page of `client` what became of its request.
    async fn poll_device(&self, code: &DeviceCode, client: &AppId) -> Result<Poll>;

    /// Dates the token of an approval, as [`super::Ends::date_token`] does, after a note that its user has one by this client and
    /// this app: so an end in the app ends it too. `one_login`: as [`super::Ends::end_earlier`] does.
    async fn date_client_token(&self, token: &Issued, app: &AppId, latest: i64, one_login: bool) -> Result<i64>;

    /// Users who may have a token of this client. At most `most`; who was told to [`Self::forget_client_user`] is not among them.
    async fn users_of_client(&self, client: &AppId, most: usize) -> Result<Vec<UserId>>;

    /// After the user's tokens of this client were ended.
    async fn forget_client_user(&self, client: &AppId, user: &UserId) -> Result<()>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_code_is_read_without_regard_to_case_blanks_and_hyphens() {
        let code: UserCode = "WDJBMJHT".parse().expect("a code");
        for written in ["WDJB-MJHT", "wdjb mjht", " w-d-j-b-m-j-h-t "] {
            assert_eq!(written.parse(), Ok(code.clone()), "{written}");
        }
        assert_eq!((code.shown().as_str(), format!("{code:?}").as_str()), ("WDJB-MJHT", "UserCode(…)"));
        for wrong in ["", "WDJBMJH", "WDJBMJHTW", "WDJBMJHA", "WDJBMJH1", "WDJB_MJHT", "ＷDJBMJHT"] {
            assert_eq!(wrong.parse::<UserCode>(), Err(InvalidUserCode), "{wrong}");
        }
    }

    #[test]
    fn a_device_code_names_its_request_and_does_not_follow_from_the_user_code() {
        for _ in 0..100 {
            let code = DeviceCode::random().expect("random");
            assert_eq!(code.expose().len(), 43);
            let read: DeviceCode = code.expose().parse().expect("a device code");
            assert!(read == code && read.user_code() == code.user_code());
        }
        let codes: std::collections::HashSet<_> =
            (0..1000).map(|_| DeviceCode::random().expect("random").user_code().to_string()).collect();
        assert_eq!(codes.len(), 1000);
        let beyond = URL_SAFE_NO_PAD.encode([255; 32]);
        for wrong in ["", "WDJBMJHT", &"A".repeat(42), &"A".repeat(44), &"+".repeat(43), &beyond] {
            assert!(wrong.parse::<DeviceCode>().is_err(), "{wrong}");
        }
    }
}

//! The identifiers that come from WeChat and its phones. Each is parsed once, where it enters, and trusted from there
//! on. Those that stand in tokens are the verifier's: [`AppId`], [`UserId`], [`TokenId`].
//!
//! The limits are wider than the forms that WeChat uses today, because WeChat does not promise those forms. What the
//! limits guarantee: a value can stand in a Redis key, a log line and a URL, and means one thing in each.

pub mod packed;
mod user_ids;

use std::str::FromStr;

use derive_more::{Display, FromStr};
use serde::{Deserialize, Deserializer, Serialize};
pub use user_ids::{IdKey, IdKind, InvalidIdKey};
use wxmint_verify::identifier;
pub use wxmint_verify::ids::{AppId, InvalidId, TokenId, UserId};

/// `Debug` that hides the value, because secrets, one-time codes and the identifiers of people must not reach a log.
#[doc(hidden)]
#[macro_export]
macro_rules! unprintable {
    ($name:ident) => {
        impl ::std::fmt::Debug for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.write_str(concat!(stringify!($name), "(…)"))
            }
        }
    };
}

const WORD: &str = "letters, digits, `_` and `-`";

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-'
}

identifier! {
    /// The one-time code of `wx.login`: in practice 32 letters and digits, valid for 5 minutes and for one use. Spaces
    /// are allowed because developer tools without an AppID send `the code is a mock one`, which is a wrong code and no
    /// malformed request: [`is_code_of_wechat`].
    LoginCode, 256, "visible ASCII characters", |byte| (b' '..=b'~').contains(&byte)
}
unprintable!(LoginCode);

/// Whether a code of [`LoginCode`] or [`PhoneCode`] has only letters of which WeChat makes codes. WeChat need not be
/// asked about another, such as `the code is a mock one`.
pub fn is_code_of_wechat(code: &str) -> bool {
    code.bytes().all(is_word)
}

identifier! {
    /// The one-time code of the button `open-type="getPhoneNumber"`, valid for 5 minutes and for one use. It is not the
    /// code of wx.login.
    PhoneCode, 256, "visible ASCII characters", |byte| (b' '..=b'~').contains(&byte)
}
unprintable!(PhoneCode);

identifier! {
    /// One person in one app, in practice 28 characters. It comes from WeChat's response alone, and never stands in a
    /// token or a log.
    OpenId, 128, WORD, is_word
}
unprintable!(OpenId);

identifier! {
    /// One person in all apps of one owner. As private as [`OpenId`].
    UnionId, 128, WORD, is_word
}
unprintable!(UnionId);

/// One person in one app. All of a person's data is stored under this pair.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Person {
    pub app: AppId,
    pub openid: OpenId,
}

/// Reads an identifier that was written as a text.
pub fn parsed<'de, D: Deserializer<'de>, T: FromStr<Err = InvalidId>>(deserializer: D) -> Result<T, D::Error> {
    String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
}

/// A client to which tokens are issued in place of an app, such as a page. It is public.
#[derive(Debug, Display, FromStr, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ClientId(
    /// The `client_id` of its tokens, which is an AppID in tokens of an app.
    #[serde(deserialize_with = "parsed")]
    pub AppId,
);

impl ClientId {
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

/// Whether a text for a person may have it: it is no control character, and none that turns or hides what is beside it.
pub fn is_visible(letter: char) -> bool {
    let turns_or_hides = matches!(letter, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    !letter.is_control() && !turns_or_hides
}

/// A phone number that WeChat has verified. It never stands in a token or a log.
#[derive(Clone, PartialEq, Eq)]
pub struct Phone {
    /// The number, preceded by the country code if it is a foreign number.
    pub number: String,
    /// The number without the country code.
    pub pure_number: String,
    /// The country code, such as `86`.
    pub country_code: String,
}
unprintable!(Phone);

/// Programs write these where a value is missing, and the headings of its column.
const FILLERS: &str = "0,-1,null,(null),<null>,\\n,none,nil,<nil>,undefined,nan,n/a,[object object],\
                       00000000-0000-0000-0000-000000000000,user_id,userid,openid,unionid,uid,id";

/// Why a text that another program has written is no id. The error does not repeat it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidForeignId {
    /// It stands for a missing value. Whoever took it for an id would make one user of many people.
    #[error("must name somebody: a null, a 0 or the heading of a column does not")]
    Filler,
    #[error(transparent)]
    Form(#[from] InvalidId),
}

/// Reads an id that another program has written, or gives out.
pub fn foreign_id<T: FromStr<Err = InvalidId>>(text: &str) -> Result<T, InvalidForeignId> {
    let is_filler = FILLERS.split(',').any(|filler| filler.eq_ignore_ascii_case(text));
    if is_filler { Err(InvalidForeignId::Filler) } else { Ok(text.parse()?) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_wechat_sends_today_is_accepted() {
        assert!("wx4f4bc4dec97d474b".parse::<AppId>().is_ok());
        assert!("the code is a mock one".parse::<LoginCode>().is_ok());
        assert!("line\nbreak".parse::<LoginCode>().is_err());
        assert!(is_code_of_wechat("0a1B2c_-") && !is_code_of_wechat("the code is a mock one"));
        assert!("oGZUI0egBJY1zhBYw2KhdUfwVJJE".parse::<OpenId>().is_ok());
    }

    #[test]
    fn what_stands_for_no_value_is_known_in_small_and_capital_letters() {
        for text in
            ["0", "-1", "NULL", "\\N", "None", "nil", "undefined", "[object Object]", "NaN", "user_id", "OPENID"]
        {
            assert_eq!(foreign_id::<UserId>(text), Err(InvalidForeignId::Filler), "{text}");
        }
        for text in ["00", "1", "-10", "nobody", "user-0", "id-1", "nullable"] {
            assert!(foreign_id::<UserId>(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn codes_and_a_persons_ids_are_not_printed() {
        let code: LoginCode = "0a1b2c".parse().expect("a code");
        let openid: OpenId = "oGZUI0egBJY1zhBYw2KhdUfwVJJE".parse().expect("an openid");
        assert_eq!(format!("{code:?} {openid:?}"), "LoginCode(…) OpenId(…)");
    }
}

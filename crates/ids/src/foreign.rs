//! Texts from other programs: ids of users and clients, and texts that are shown to people.

use std::str::FromStr;

use derive_more::{Display, FromStr};
use serde::{Deserialize, Deserializer, Serialize};

use crate::{AppId, InvalidId};

/// Deserializes an identifier from a string, by its `FromStr`. For `#[serde(deserialize_with)]`.
pub fn parsed<'de, D: Deserializer<'de>, T: FromStr<Err = InvalidId>>(
    deserializer: D,
) -> Result<T, D::Error> {
    String::deserialize(deserializer)?
        .parse()
        .map_err(serde::de::Error::custom)
}

/// A client, such as a page, to which tokens are issued in place of an app. Its id is public.
#[derive(
    Debug, Display, FromStr, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
pub struct ClientId(
    /// The `client_id` of the client's tokens. It has the type of an AppID, because tokens of an
    /// app have their AppID there.
    #[serde(deserialize_with = "parsed")]
    pub AppId,
);

impl ClientId {
    /// The identifier, unchanged.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

/// Whether a character is allowed in a text that is shown to people: it is not a control character,
/// not invisible, and does not change the direction of the text beside it.
pub fn is_visible(letter: char) -> bool {
    let turns_or_hides = matches!(letter, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    !letter.is_control() && !turns_or_hides
}

/// Texts that programs write if a value is missing, and headings of the column.
const FILLERS: &str = "0,-1,null,(null),<null>,\\n,none,nil,<nil>,undefined,nan,n/a,[object object],\
                       00000000-0000-0000-0000-000000000000,user_id,userid,openid,unionid,uid,id";

/// Why a text from another program is not an id. The error does not quote the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidForeignId {
    /// The text stands for a missing value. If it were taken for an id, many people would become
    /// one user.
    #[error("must name somebody: a null, a 0 or the heading of a column does not")]
    Filler,
    #[error(transparent)]
    Form(#[from] InvalidId),
}

/// Parses an id that another program has written. Refuses texts that stand for a missing value.
pub fn foreign_id<T: FromStr<Err = InvalidId>>(text: &str) -> Result<T, InvalidForeignId> {
    let is_filler = FILLERS
        .split(',')
        .any(|filler| filler.eq_ignore_ascii_case(text));
    if is_filler {
        Err(InvalidForeignId::Filler)
    } else {
        Ok(text.parse()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::UserId;

    #[test]
    fn what_stands_for_no_value_is_known_in_small_and_capital_letters() {
        for text in [
            "0",
            "-1",
            "NULL",
            "\\N",
            "None",
            "nil",
            "undefined",
            "[object Object]",
            "NaN",
            "user_id",
            "OPENID",
        ] {
            assert_eq!(
                foreign_id::<UserId>(text),
                Err(InvalidForeignId::Filler),
                "{text}"
            );
        }
        for text in ["00", "1", "-10", "nobody", "user-0", "id-1", "nullable"] {
            assert!(foreign_id::<UserId>(text).is_ok(), "{text}");
        }
    }
}

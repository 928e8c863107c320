//! The header `typ` of an access token (RFC 9068 section 2.1).

use std::str::FromStr;

/// What stands before every media type, and is left out in a header (RFC 7515 section 4.1.9).
const APPLICATION: &str = "application/";

/// The header's `typ`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenTyp {
    /// `at+jwt` (RFC 9068 section 2.1): no other signed object of ours can be taken for an access token.
    AccessToken,
    /// `JWT`, for verifiers that know no other.
    Jwt,
}

impl TokenTyp {
    const ALL: [Self; 2] = [Self::AccessToken, Self::Jwt];

    /// As it stands in the header.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AccessToken => "at+jwt",
            Self::Jwt => "JWT",
        }
    }

    /// Of a header: a media type has no case, and may be written out.
    pub(super) fn of_header(text: &str) -> Option<Self> {
        let written_out = text.get(..APPLICATION.len()).is_some_and(|start| start.eq_ignore_ascii_case(APPLICATION));
        let bare = if written_out { &text[APPLICATION.len()..] } else { text };
        Self::ALL.into_iter().find(|typ| typ.as_str().eq_ignore_ascii_case(bare))
    }
}

impl FromStr for TokenTyp {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|typ| typ.as_str() == text).ok_or("must be at+jwt or JWT")
    }
}

//! The header `typ` of an access token (RFC 9068 section 2.1).

use std::str::FromStr;

/// The prefix of the media type, which a header may leave out (RFC 7515 section 4.1.9).
const APPLICATION: &str = "application/";

/// The `typ` of an access token's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenTyp {
    /// `at+jwt` (RFC 9068 section 2.1), which no other object that wxmint signs has.
    AccessToken,
    /// `JWT`, for verifiers that support nothing else.
    Jwt,
}

impl TokenTyp {
    const ALL: [Self; 2] = [Self::AccessToken, Self::Jwt];

    /// The value that stands in the header.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AccessToken => "at+jwt",
            Self::Jwt => "JWT",
        }
    }

    /// Parses a header's `typ`. A media type is case-insensitive, and `application/` may precede
    /// it.
    pub(super) fn of_header(text: &str) -> Option<Self> {
        let written_out = text
            .get(..APPLICATION.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(APPLICATION));
        let bare = if written_out {
            &text[APPLICATION.len()..]
        } else {
            text
        };
        Self::ALL
            .into_iter()
            .find(|typ| typ.as_str().eq_ignore_ascii_case(bare))
    }
}

impl FromStr for TokenTyp {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|typ| typ.as_str() == text)
            .ok_or("must be at+jwt or JWT")
    }
}

//! User names and passwords as people type them: limited in length, and never printed.

use std::str::FromStr;

use icu_normalizer::DecomposingNormalizerBorrowed;
use wxmint_ids::unprintable;
use zeroize::Zeroizing;

use crate::findings::Message;

/// A business user's name as it was typed, without surrounding spaces. It has 1 to 512 characters,
/// and no control characters.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Username(Box<str>);

impl Username {
    pub const MAX_CHARS: usize = 512;

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name by which attempts are counted. Databases may take two names for one if they differ
    /// only in case, width, accents, spaces or invisible characters.
    pub fn folded(&self) -> String {
        let letters = DecomposingNormalizerBorrowed::new_nfkd().normalize(&self.0);
        letters
            .chars()
            .filter(|letter| letter.is_alphanumeric() || letter.is_ascii_graphic())
            .flat_map(char::to_lowercase)
            .collect()
    }
}

impl FromStr for Username {
    type Err = Message;

    fn from_str(text: &str) -> Result<Self, Message> {
        let text = text.trim();
        checked(text, Self::MAX_CHARS)?;
        let has_control = text.chars().any(char::is_control);
        if has_control {
            Err(message!(must_not_hold_control_characters))
        } else {
            Ok(Self(text.into()))
        }
    }
}

unprintable!(Username);

/// A password, byte for byte as it was typed. It has 1 to 1024 characters, and is wiped when
/// dropped.
#[derive(Clone)]
pub struct Password(Zeroizing<String>);

impl Password {
    pub const MAX_CHARS: usize = 1024;

    /// The password itself, for the line that checks it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl FromStr for Password {
    type Err = Message;

    fn from_str(text: &str) -> Result<Self, Message> {
        checked(text, Self::MAX_CHARS)?;
        Ok(Self(text.to_owned().into()))
    }
}

unprintable!(Password);

/// The length is limited because hashing and comparing take time. The error does not repeat the
/// text.
fn checked(text: &str, limit: usize) -> Result<(), Message> {
    match text.chars().count() {
        0 => Err(message!(must_not_be_empty)),
        length if length > limit => Err(message!(must_be_at_most_characters, limit)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_a_database_may_take_for_one_are_counted_as_one() {
        let folded = |name: &str| name.parse::<Username>().expect("a name").folded();
        for same in [
            "Lin.Mei",
            "ｌｉｎ．ｍｅｉ",
            "lín.mëi",
            "li\u{301}n.mei",
            "lin\u{200b}.m\u{ad}ei",
            "lin . mei",
            "LIN.ᴹEI",
        ] {
            assert_eq!(folded(same), "lin.mei", "{same:?}");
        }
        assert_eq!(
            (folded("林妹"), folded("lin-mei")),
            ("林妹".into(), "lin-mei".into())
        );
        assert_ne!(folded("林妹"), folded("林梅"));
    }

    #[test]
    fn names_and_passwords_are_limited_in_length_and_not_printed() {
        assert!("名".repeat(512).parse::<Username>().is_ok());
        assert_eq!(
            "n".repeat(513).parse::<Username>(),
            Err(message!(must_be_at_most_characters, 512))
        );
        assert_eq!(
            "a\nb".parse::<Username>(),
            Err(message!(must_not_hold_control_characters))
        );
        assert_eq!(" ".parse::<Username>(), Err(message!(must_not_be_empty)));
        assert_eq!(
            " alice ".parse::<Username>().expect("a name").as_str(),
            "alice"
        );
        let password: Password = " hunter2 ".parse().expect("a password");
        assert_eq!(password.expose(), " hunter2 ");
        assert_eq!(
            "p".repeat(1025).parse::<Password>().expect_err("long"),
            message!(must_be_at_most_characters, 1024)
        );
        let printed = format!("{password:?} {:?}", "hunter2".parse::<Username>());
        assert!(!printed.contains("hunter2"), "{printed}");
    }
}

//! User names and passwords as people type them: limited in length, and never printed.

use std::str::FromStr;

use wxmint_ids::unprintable;
use zeroize::Zeroizing;

/// Why a text is not a valid user name or password. The error does not repeat the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCredential {
    #[error("must not be empty")]
    Empty,
    /// Too long. The length is limited because hashing and comparing take time.
    #[error("must be at most {0} characters")]
    TooLong(usize),
    #[error("must not hold control characters")]
    Control,
}

in_chinese! {
    InvalidCredential:
        InvalidCredential::Empty => "不能为空",
        InvalidCredential::TooLong(most) => "最多 {most} 个字符",
        InvalidCredential::Control => "不能含有控制字符";
}

/// A business user's name as it was typed, without surrounding spaces.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Username(Box<str>);

impl Username {
    pub const MAX_CHARS: usize = 512;

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Username {
    type Err = InvalidCredential;

    fn from_str(text: &str) -> Result<Self, InvalidCredential> {
        let text = text.trim();
        checked(text, Self::MAX_CHARS)?;
        if text.chars().any(char::is_control) {
            return Err(InvalidCredential::Control);
        }
        Ok(Self(text.into()))
    }
}

unprintable!(Username);

/// A password, byte for byte as it was typed. It is wiped when dropped.
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
    type Err = InvalidCredential;

    fn from_str(text: &str) -> Result<Self, InvalidCredential> {
        checked(text, Self::MAX_CHARS)?;
        Ok(Self(text.to_owned().into()))
    }
}

unprintable!(Password);

fn checked(text: &str, limit: usize) -> Result<(), InvalidCredential> {
    match text.chars().count() {
        0 => Err(InvalidCredential::Empty),
        length if length > limit => Err(InvalidCredential::TooLong(limit)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_passwords_are_limited_in_length_and_not_printed() {
        assert!("名".repeat(512).parse::<Username>().is_ok());
        assert_eq!("n".repeat(513).parse::<Username>(), Err(InvalidCredential::TooLong(512)));
        assert_eq!("a\nb".parse::<Username>(), Err(InvalidCredential::Control));
        assert_eq!(" ".parse::<Username>(), Err(InvalidCredential::Empty));
        assert_eq!(" alice ".parse::<Username>().expect("a name").as_str(), "alice");
        let password: Password = " hunter2 ".parse().expect("a password");
        assert_eq!(password.expose(), " hunter2 ");
        assert_eq!("p".repeat(1025).parse::<Password>().expect_err("long"), InvalidCredential::TooLong(1024));
        let printed = format!("{password:?} {:?}", "hunter2".parse::<Username>());
        assert!(!printed.contains("hunter2"), "{printed}");
    }
}

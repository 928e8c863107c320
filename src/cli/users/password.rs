//! Reads a new password: twice from a terminal without showing it, otherwise from one line of standard input.

use std::io::{self, BufRead, IsTerminal};

use zeroize::Zeroizing;

use super::{Failure, ask_hidden};
use crate::accounts::{Password, Username};
use crate::findings::Message;

/// The bytes of the longest password, with its line break.
const LONGEST_LINE: u64 = 4 * Password::MAX_CHARS as u64 + 2;

/// The fewest characters of a new password (NIST SP 800-63B, section 5.1.1.1). Shorter passwords
/// that are in use stay valid.
const SHORTEST: usize = 8;

pub(super) fn ask(name: &Username) -> Result<Password, Failure> {
    let stdin = io::stdin();
    let typed = if stdin.is_terminal() {
        prompt_twice(name)?
    } else {
        first_line(stdin.lock())?
    };
    let password = typed.parse().map_err(unfit)?;
    if typed.chars().count() < SHORTEST {
        return Err(Failure::usage(format_args!(
            "the password must be at least {SHORTEST} characters"
        )));
    }
    Ok(password)
}

fn unfit(error: Message) -> Failure {
    Failure::usage(message!(password_is_wrong, error))
}

fn prompt_twice(name: &Username) -> Result<Zeroizing<String>, Failure> {
    let typed = ask_hidden(&format!("Password of {}: ", name.as_str())).map_err(unreadable)?;
    let again = ask_hidden("The same again: ").map_err(unreadable)?;
    if typed == again {
        Ok(typed)
    } else {
        Err(Failure::usage(
            "the two passwords differ; nothing was changed",
        ))
    }
}

fn first_line(input: impl BufRead) -> Result<Zeroizing<String>, Failure> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(LONGEST_LINE as usize + 1));
    input
        .take(LONGEST_LINE + 1)
        .read_until(b'\n', &mut bytes)
        .map_err(unreadable)?;
    if bytes.len() as u64 > LONGEST_LINE {
        return Err(unfit(message!(
            must_be_at_most_characters,
            Password::MAX_CHARS
        )));
    }
    let line = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let text = str::from_utf8(line).map_err(|_| Failure::usage("the password must be UTF-8"))?;
    Ok(Zeroizing::new(text.to_owned()))
}

fn unreadable(error: io::Error) -> Failure {
    Failure::unfinished(format_args!("the password could not be read: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_without_its_end_and_never_more_than_can_be_a_password() {
        for (input, read) in [
            ("hunter2\nand more\n", "hunter2"),
            ("hunter2\r\n", "hunter2"),
            (" two words ", " two words "),
            ("\n", ""),
            ("", ""),
        ] {
            assert_eq!(
                first_line(input.as_bytes()).expect("a line").as_str(),
                read,
                "{input:?}"
            );
        }
        let longest = "密".repeat(Password::MAX_CHARS);
        assert!(
            first_line(longest.as_bytes())
                .expect("a line")
                .parse::<Password>()
                .is_ok()
        );
        let endless = first_line(io::BufReader::new(io::repeat(b'a'))).expect_err("too long");
        assert_eq!(endless, unfit(message!(must_be_at_most_characters, 1024)));
        let not_text = first_line(&b"\xff\n"[..]).expect_err("not UTF-8");
        assert_eq!(not_text, Failure::usage("the password must be UTF-8"));
    }
}

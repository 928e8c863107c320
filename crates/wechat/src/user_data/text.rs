//! Checks whether a plaintext can be a JSON object at all, in constant time: no branch or address
//! depends on a byte.
//!
//! With a wrong key, or if anything but the first block was changed, a block decrypts to random
//! bytes, which are valid text in one of ten thousand cases. A JSON parser would stop there, and
//! its time would reveal the position. This check always reads the whole plaintext. A text that
//! passes is parsed strictly afterwards.

/// Whether the text begins with `{`, and has UTF-8 continuation bytes (RFC 3629) exactly where they
/// belong.
pub(super) fn may_be_an_object(text: &[u8]) -> bool {
    let mut wrong = text.first() != Some(&b'{');
    let [mut first, mut second, mut third] = [0; 3];
    for &byte in text {
        let wanted = (first >= 0xc0) || (second >= 0xe0) || (third >= 0xf0);
        let continues = byte & 0xc0 == 0x80;
        let is_never_in_text = (byte == 0xc0) || (byte == 0xc1) || (byte >= 0xf5);
        wrong |= (wanted != continues) | is_never_in_text;
        (first, second, third) = (byte, first, second);
    }
    !wrong
}

#[cfg(test)]
mod tests {
    use fastrand::Rng;

    use super::*;
    use crate::client::blank_control_characters;

    /// The same check by the standard library, except for sequences that encode no character (RFC
    /// 3629 section 4).
    fn expected(text: &[u8]) -> Option<bool> {
        let begins = text.starts_with(b"{");
        match str::from_utf8(text) {
            Ok(_) => Some(begins),
            Err(_)
                if text
                    .iter()
                    .any(|byte| [0xe0, 0xed, 0xf0, 0xf4].contains(byte)) =>
            {
                None
            }
            // The standard library does not judge an incomplete sequence at the end of the text.
            Err(error) if error.error_len().is_none() => None,
            Err(_) => Some(false),
        }
    }

    #[test]
    fn every_character_is_text_and_a_control_character_becomes_a_space() {
        for character in '\0'..=char::MAX {
            let text = format!("{{{character} ");
            assert_eq!(
                Some(may_be_an_object(text.as_bytes())),
                expected(text.as_bytes()),
                "{character:?}"
            );
            assert!(!may_be_an_object(&text.as_bytes()[1..]) || character == '{');
            let mut blanked = text.clone().into_bytes();
            blank_control_characters(&mut blanked);
            assert_eq!(
                blanked == text.as_bytes(),
                character >= ' ',
                "{character:?}"
            );
        }
    }

    #[test]
    fn every_three_bytes_that_are_not_utf_8_are_refused() {
        for bytes in 0x007f_0000..=0x00ff_ffffu32 {
            let [_, a, b, c] = bytes.to_be_bytes();
            let text = [b'{', a, b, c, b' '];
            let expected = expected(&text);
            assert!(
                expected.is_none_or(|expected| may_be_an_object(&text) == expected),
                "{text:x?}"
            );
        }
    }

    #[test]
    fn a_random_block_is_hardly_ever_text() {
        let mut rng = Rng::with_seed(5);
        let passed = (0..1_000_000).filter(|_| {
            let block = rng.u128(..).to_be_bytes();
            may_be_an_object(&[b"{\"a\":\"", &block[..], b"\"} "].concat())
        });
        assert!(passed.count() < 200);
    }
}

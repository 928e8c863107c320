//! Whether a plaintext can be a JSON object at all, by steps that are the same for each byte, whatever stood before it.
//!
//! Where the key is wrong, or anything but the first block was changed, some 16 bytes are as if drawn by lot; that they
//! are a text happens once in millions. A reader of JSON would stop there, and tell by its time where that was. This
//! goes on to the end.

/// UTF-8 (Unicode 17, table 3-7) without control characters, of which the first that is not blank is a `{`.
pub(super) fn may_be_an_object(text: &[u8]) -> bool {
    let end = text.iter().fold(START, |state, &byte| STEPS[state as usize][CLASSES[byte as usize] as usize]);
    end == TEXT
}

// States. The last seven want the rest of a character.
const NO: u8 = 0;
const START: u8 = 1;
const TEXT: u8 = 2;
const ONE_MORE: u8 = 3;
const TWO_MORE: u8 = 4;
const THREE_MORE: u8 = 5;
const AFTER_E0: u8 = 6;
const AFTER_ED: u8 = 7;
const AFTER_F0: u8 = 8;
const AFTER_F4: u8 = 9;

/// By a byte's class, the state after each state. Rows are states as above; columns are classes as below.
const STEPS: [[u8; 14]; 10] = [
    [NO; 14],
    [NO, START, NO, TEXT, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO],
    [NO, TEXT, TEXT, TEXT, NO, NO, NO, ONE_MORE, AFTER_E0, TWO_MORE, AFTER_ED, AFTER_F0, THREE_MORE, AFTER_F4],
    [NO, NO, NO, NO, TEXT, TEXT, TEXT, NO, NO, NO, NO, NO, NO, NO],
    [NO, NO, NO, NO, ONE_MORE, ONE_MORE, ONE_MORE, NO, NO, NO, NO, NO, NO, NO],
    [NO, NO, NO, NO, TWO_MORE, TWO_MORE, TWO_MORE, NO, NO, NO, NO, NO, NO, NO],
    [NO, NO, NO, NO, NO, NO, ONE_MORE, NO, NO, NO, NO, NO, NO, NO],
    [NO, NO, NO, NO, ONE_MORE, ONE_MORE, NO, NO, NO, NO, NO, NO, NO, NO],
    [NO, NO, NO, NO, NO, TWO_MORE, TWO_MORE, NO, NO, NO, NO, NO, NO, NO],
    [NO, NO, NO, NO, TWO_MORE, NO, NO, NO, NO, NO, NO, NO, NO, NO],
];

const CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        classes[byte] = class(byte as u8);
        byte += 1;
    }
    classes
};

const fn class(byte: u8) -> u8 {
    match byte {
        b'\t' | b'\n' | b'\r' | b' ' => 1,
        b'{' => 3,
        0x21..=0x7f => 2,
        0x80..=0x8f => 4,
        0x90..=0x9f => 5,
        0xa0..=0xbf => 6,
        0xc2..=0xdf => 7,
        0xe0 => 8,
        0xe1..=0xec | 0xee | 0xef => 9,
        0xed => 10,
        0xf0 => 11,
        0xf1..=0xf3 => 12,
        0xf4 => 13,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use fastrand::Rng;

    use super::*;

    /// The same by the standard library.
    fn expected(text: &[u8]) -> bool {
        let Ok(text) = str::from_utf8(text) else { return false };
        let blank = ['\t', '\n', '\r', ' '];
        let is_control = |character: char| (character as u32) < 0x20 && !blank.contains(&character);
        text.trim_start_matches(blank).starts_with('{') && !text.chars().any(is_control)
    }

    #[track_caller]
    fn agrees(text: &[u8]) -> bool {
        assert_eq!(may_be_an_object(text), expected(text), "{text:?}");
        expected(text)
    }

    #[test]
    fn every_character_is_text_but_control_characters() {
        for character in '\0'..=char::MAX {
            agrees(format!("{{{character}").as_bytes());
            agrees(character.to_string().as_bytes());
        }
    }

    #[test]
    fn every_three_bytes_are_text_or_not_as_in_the_standard_library() {
        for bytes in 0..=0x00ff_ffffu32 {
            let [_, a, b, c] = bytes.to_be_bytes();
            // All that begin a character, and one that does not.
            if a >= 0xbf {
                agrees(&[b'{', a, b, c]);
            }
        }
    }

    #[test]
    fn texts_that_are_spoiled_anywhere_are_found() {
        let mut rng = Rng::with_seed(5);
        let mut found = [0; 2];
        for _ in 0..20_000 {
            let mut text = "{\"nickName\":\"王子轩😀é\",\n \"city\":\"Guangzhou\"}".as_bytes().to_vec();
            for _ in 0..rng.usize(..3) {
                let place = rng.usize(..text.len());
                text[place] = rng.u8(..);
            }
            text.truncate(rng.usize(..2 * text.len()));
            found[usize::from(agrees(&text))] += 1;
        }
        assert!(found.iter().all(|count| *count > 1000), "{found:?}");
    }
}

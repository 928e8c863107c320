//! AES-128-CBC as WeChat uses it, and PKCS#7 padding (RFC 5652 section 6.3).

use aws_lc_rs::cipher::{AES_128, DecryptingKey, DecryptionContext, UnboundCipherKey};
use base64::{Engine, engine::general_purpose::STANDARD};
use zeroize::{Zeroizing, zeroize_stack};

use super::Undecryptable;
use crate::wechat::SessionKey;

/// The block of the cipher, and its iv.
pub(super) const BLOCK: usize = 16;

/// What base64 wants to decode the 24 characters of a key.
const DECODED: usize = 18;

/// More than decoding and setting up a key use, which leave copies of it on the stack.
const STACK: usize = 16 * 1024;

/// The plaintext with its padding, which is not looked at. `ciphertext` must be whole blocks.
pub(super) fn decrypt(
    key: &SessionKey,
    ciphertext: &[u8],
    iv: &[u8; BLOCK],
) -> Result<Zeroizing<Vec<u8>>, Undecryptable> {
    let mut text = Zeroizing::new(ciphertext.to_vec());
    let decrypted = decrypt_in_place(key, &mut text, iv);
    zeroize_stack::<STACK>();
    decrypted.map(|()| text)
}

/// Apart, so that what it leaves on the stack lies where [`zeroize_stack`] wipes.
#[inline(never)]
fn decrypt_in_place(key: &SessionKey, text: &mut [u8], iv: &[u8; BLOCK]) -> Result<(), Undecryptable> {
    let mut bytes = Zeroizing::new([0; DECODED]);
    let length = STANDARD.decode_slice(key.expose(), bytes.as_mut()).map_err(|_| Undecryptable)?;
    // Refuses another length than that of a key.
    let key = UnboundCipherKey::new(&AES_128, &bytes[..length]).and_then(DecryptingKey::cbc);
    let context = DecryptionContext::Iv128(iv.into());
    key.and_then(|key| key.decrypt(text, context).map(drop)).map_err(|_| Undecryptable)
}

/// Puts spaces in the place of the padding, which JSON may end with; whether it was right. Reads the whole last block
/// whatever stands there.
pub(super) fn blank_padding(text: &mut [u8]) -> bool {
    let Some((_, last_block)) = text.split_last_chunk_mut::<BLOCK>() else { return false };
    let padding = last_block[BLOCK - 1];
    let mut wrong = u8::from(padding == 0) | u8::from(usize::from(padding) > BLOCK);
    for (from_end, byte) in (1..).zip(last_block.iter_mut().rev()) {
        let inside = 0u8.wrapping_sub(u8::from(from_end <= padding));
        wrong |= inside & (*byte ^ padding);
        *byte = (*byte & !inside) | (b' ' & inside);
    }
    wrong == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blanked(last_bytes: &[u8]) -> Option<Vec<u8>> {
        let mut text = [&[b'a'; 2 * BLOCK][last_bytes.len()..], last_bytes].concat();
        blank_padding(&mut text).then_some(text)
    }

    #[test]
    fn padding_of_one_byte_to_a_block_becomes_spaces() {
        for padding in 1..=16u8 {
            let count = usize::from(padding);
            let expected = [vec![b'a'; 2 * BLOCK - count], vec![b' '; count]].concat();
            assert_eq!(blanked(&vec![padding; count]), Some(expected));
        }
    }

    #[test]
    fn each_byte_of_the_padding_is_looked_at() {
        for padding in 1..=16u8 {
            let right = vec![padding; usize::from(padding)];
            for place in 0..right.len() - 1 {
                let mut wrong = right.clone();
                wrong[place] ^= 1;
                assert_eq!(blanked(&wrong), None, "{wrong:?}");
            }
        }
        for wrong in [0, 17, 32, 128, 255] {
            assert_eq!(blanked(&[wrong; 32]), None, "{wrong}");
        }
        assert!(!blank_padding(&mut []) && !blank_padding(&mut [1; 15]));
    }

    #[test]
    fn a_key_is_16_bytes() {
        for (text, is_one) in [
            ("tiihtNczf5v6AKRyjwEUhQ==", true),
            ("", false),
            ("tiihtNczf5v6AKRyjwEUhQ", false),
            ("tiihtNczf5v6AKRyjwEU", false),
            ("tiihtNczf5v6AKRyjwEUhQAA", false),
            ("tiihtNczf5v6AKRyjwEUhQAAtiihtNczf5v6AKRyjwEUhQAA", false),
            ("tiihtNczf5v6AKRyjwEU hQ=", false),
        ] {
            assert_eq!(decrypt(&SessionKey::new(text), &[0; BLOCK], &[0; BLOCK]).is_ok(), is_one, "{text}");
        }
    }
}

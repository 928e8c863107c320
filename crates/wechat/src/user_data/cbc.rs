//! AES-128-CBC and PKCS#7 padding (RFC 5652 section 6.3), as WeChat uses them.

use aws_lc_rs::cipher::{AES_128, DecryptingKey, DecryptionContext, UnboundCipherKey};
use base64::{Engine, engine::general_purpose::STANDARD};
use zeroize::{Zeroizing, zeroize_stack};

use crate::SessionKey;

/// The length of the cipher's block and of its iv, in bytes.
pub(super) const BLOCK: usize = 16;
/// The buffer that base64 needs to decode the 24 characters of a key.
const DECODED: usize = 18;
/// More stack than decoding and setting up a key use. Both leave copies of the key on the stack.
const STACK: usize = 16 * 1024;

/// Decrypts the data without checking its padding. `ciphertext` must be whole blocks. `None` if the
/// key is not base64 of 16 bytes.
pub(super) fn decrypt(
    key: &SessionKey,
    ciphertext: &[u8],
    iv: &[u8; BLOCK],
) -> Option<Zeroizing<Vec<u8>>> {
    let mut text = Zeroizing::new(ciphertext.to_vec());
    let decrypted = decrypt_in_place(key, &mut text, iv);
    zeroize_stack::<STACK>();
    decrypted.map(|()| text)
}

/// A function of its own, so that its stack frame lies in the memory that [`zeroize_stack`] wipes.
#[inline(never)]
fn decrypt_in_place(key: &SessionKey, text: &mut [u8], iv: &[u8; BLOCK]) -> Option<()> {
    let mut bytes = Zeroizing::new([0; DECODED]);
    let length = STANDARD.decode_slice(key.expose(), bytes.as_mut()).ok()?;
    // This fails if the key does not have 16 bytes.
    let key = UnboundCipherKey::new(&AES_128, &bytes[..length]).and_then(DecryptingKey::cbc);
    key.and_then(|key| {
        key.decrypt(text, DecryptionContext::Iv128(iv.into()))
            .map(drop)
    })
    .ok()
}

/// Replaces the padding by spaces, which JSON allows at its end. Returns whether the padding was
/// valid. Always reads the whole last block, so that the time does not depend on its content.
pub(super) fn blank_padding(text: &mut [u8]) -> bool {
    let Some((_, last_block)) = text.split_last_chunk_mut::<BLOCK>() else {
        return false;
    };
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
    fn each_byte_of_the_padding_is_checked() {
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
            assert_eq!(
                decrypt(&SessionKey::new(text), &[0; BLOCK], &[0; BLOCK]).is_some(),
                is_one,
                "{text}"
            );
        }
    }
}

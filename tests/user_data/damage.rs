//! What can befall data between WeChat and us.

use base64::{Engine, engine::general_purpose::STANDARD};
use fastrand::Rng;

use crate::peers::Asked;

const BLOCK: usize = 16;

type Damage = fn(&mut Sealed, &mut Rng);

/// Each leaves base64 of whole blocks.
const DAMAGES: [Damage; 13] = [
    |sealed, rng| flip_a_bit(&mut sealed.ciphertext, rng),
    |sealed, rng| sealed.ciphertext = random(rng, sealed.ciphertext.len()),
    |sealed, rng| flip_a_bit(&mut sealed.iv, rng),
    |sealed, rng| flip_a_bit(&mut sealed.iv, rng),
    |sealed, rng| sealed.iv = random(rng, BLOCK),
    |sealed, rng| sealed.ciphertext.truncate(BLOCK * rng.usize(1..sealed.blocks())),
    |sealed, rng| drop(sealed.ciphertext.drain(..BLOCK * rng.usize(1..sealed.blocks()))),
    |sealed, rng| sealed.swap(rng.usize(..sealed.blocks()), rng.usize(..sealed.blocks())),
    |sealed, rng| sealed.repeat(rng.usize(..sealed.blocks())),
    |sealed, rng| sealed.asked.session_key = STANDARD.encode(random(rng, BLOCK)),
    |sealed, _| sealed.asked.appid = "wx0000000000000000".into(),
    |sealed, _| sealed.asked.openid = "o000000000000000000000000000".into(),
    |sealed, rng| sealed.asked.now += rng.i64(-1300..1300),
];

struct Sealed {
    asked: Asked,
    ciphertext: Vec<u8>,
    iv: Vec<u8>,
}

/// `asked` with one damage, drawn by lot.
pub(crate) fn damaged(asked: &Asked, rng: &mut Rng) -> Asked {
    let decode = |text| STANDARD.decode(text).expect("base64");
    let (ciphertext, iv) = (decode(&asked.encrypted_data), decode(&asked.iv));
    let mut sealed = Sealed { asked: asked.clone(), ciphertext, iv };
    DAMAGES[rng.usize(..DAMAGES.len())](&mut sealed, rng);
    let (encrypted_data, iv) = (STANDARD.encode(sealed.ciphertext), STANDARD.encode(sealed.iv));
    Asked { encrypted_data, iv, ..sealed.asked }
}

impl Sealed {
    fn blocks(&self) -> usize {
        self.ciphertext.len() / BLOCK
    }

    fn block(&self, number: usize) -> Vec<u8> {
        self.ciphertext[number * BLOCK..][..BLOCK].to_vec()
    }

    fn swap(&mut self, one: usize, other: usize) {
        let blocks = [self.block(one), self.block(other)];
        self.ciphertext[one * BLOCK..][..BLOCK].copy_from_slice(&blocks[1]);
        self.ciphertext[other * BLOCK..][..BLOCK].copy_from_slice(&blocks[0]);
    }

    fn repeat(&mut self, number: usize) {
        let block = self.block(number);
        self.ciphertext.extend(block);
    }
}

fn flip_a_bit(bytes: &mut [u8], rng: &mut Rng) {
    bytes[rng.usize(..bytes.len())] ^= 1 << rng.u8(..8);
}

fn random(rng: &mut Rng, length: usize) -> Vec<u8> {
    (0..length).map(|_| rng.u8(..)).collect()
}

//! The padding-oracle attack of Vaudenay (2002), written out: who can tell bad padding from whatever else is wrong
//! decrypts without the key, some 128 questions a byte. It succeeds where answers differ, and gets nothing from the
//! service, where it has eight questions and then no key to ask about.

use std::collections::HashMap;

use serde_json::Value;

use super::{
    NUMBER, Replicas, expect_undecryptable,
    sealing::{BLOCK, Block, body, decrypted, parts, sealed_phone},
};

/// What the attacker heard to each of the 256 guesses of a byte.
type Heard = HashMap<String, Vec<u8>>;

/// Nothing was heard that tells one guess from another.
#[derive(Debug, PartialEq, Eq)]
struct Nothing {
    questions: usize,
}

/// Decrypts `block`, which follows upon `before`, by what `ask` answers to an iv and one block.
async fn attack(before: Block, block: Block, mut ask: impl AsyncFnMut(Value) -> String) -> Result<Block, Nothing> {
    // What the cipher makes of the block, before the block in front of it is added.
    let mut inner = Block::default();
    let mut questions = 0;
    for place in (0..BLOCK).rev() {
        let padding = (BLOCK - place) as u8;
        let mut iv: Block = std::array::from_fn(|at| if at > place { inner[at] ^ padding } else { 0 });
        // Where the padding could be longer by chance, a change of the byte before it tells.
        let guess = 'found: {
            for neighbour in [0, 1] {
                if place > 0 {
                    iv[place - 1] = neighbour;
                }
                let mut heard = Heard::new();
                for guess in 0..=255 {
                    iv[place] = guess;
                    questions += 1;
                    heard.entry(ask(body(&block, &iv)).await).or_default().push(guess);
                }
                match odd_ones_out(heard).as_deref() {
                    Some([guess]) => break 'found *guess,
                    Some([_, _]) => {}
                    _ => return Err(Nothing { questions }),
                }
            }
            return Err(Nothing { questions });
        };
        inner[place] = guess ^ padding;
    }
    Ok(std::array::from_fn(|at| inner[at] ^ before[at]))
}

/// The guesses that were answered otherwise than nearly all.
fn odd_ones_out(heard: Heard) -> Option<Vec<u8>> {
    heard.into_values().min_by_key(Vec::len).filter(|guesses| guesses.len() <= 2)
}

/// A service as many have written it.
fn leaky(key: &str, asked: &Value) -> String {
    let (ciphertext, iv) = parts(asked);
    let text = decrypted(key, &ciphertext, iv);
    let padding = usize::from(text[text.len() - 1]);
    let padded = (1..=BLOCK).contains(&padding) && text.ends_with(&vec![padding as u8; padding]);
    if padded { "500 Unexpected token in JSON" } else { "500 bad decrypt" }.to_owned()
}

/// The second block of a sealed phone number, in which the number begins, and the block before it.
fn target(sealed: &Value) -> (Block, Block) {
    let (ciphertext, _) = parts(sealed);
    let block = |number: usize| ciphertext[number * BLOCK..][..BLOCK].try_into().expect("a block");
    (block(0), block(1))
}

/// The same block as its owner has it.
fn plain(key: &str, sealed: &Value) -> Vec<u8> {
    let (ciphertext, iv) = parts(sealed);
    decrypted(key, &ciphertext, iv)[BLOCK..2 * BLOCK].to_vec()
}

#[tokio::test]
async fn the_attack_decrypts_where_bad_padding_has_an_answer_of_its_own() {
    for key in ["AAECAwQFBgcICQoLDA0ODw==", "O/YVQPHxQY18DrsFq+/bjQ=="] {
        let sealed = sealed_phone(key, NUMBER);
        let (before, block) = target(&sealed);
        let found = attack(before, block, async |asked| leaky(key, &asked)).await;
        assert_eq!(found.map(Vec::from), Ok(plain(key, &sealed)));
    }
}

#[tokio::test]
async fn where_the_ninth_question_finds_no_key_even_such_answers_tell_nothing() {
    let key = "AAECAwQFBgcICQoLDA0ODw==";
    let sealed = sealed_phone(key, NUMBER);
    let (before, block) = target(&sealed);
    let mut found = 0;
    for _ in 0..16 {
        let mut left = 8;
        let few = async |asked| {
            left -= 1;
            if left >= 0 { leaky(key, &asked) } else { "500 bad decrypt".to_owned() }
        };
        found += u32::from(attack(before, block, few).await.is_ok());
    }
    assert_eq!(found, 0);
}

/// The attacker has the token of lin's phone, and something that was sealed for lin.
#[tokio::test]
async fn the_attack_on_the_service_gets_nothing_and_then_there_is_no_key() {
    let replicas = Replicas::start().await;
    let lin = replicas.log_in("lin").await;
    let sealed = sealed_phone(&lin.key, NUMBER);
    let (before, block) = target(&sealed);
    let mut asked = 0;
    let mut key_lived = 0;
    let found = attack(before, block, async |question| {
        asked += 1;
        let answer = replicas.decrypt(asked % 2, &lin, &question).await;
        if !replicas.kept(&lin).is_empty() {
            key_lived += 1;
        }
        expect_undecryptable(answer).told()
    })
    .await;
    assert_eq!(found, Err(Nothing { questions: 256 }), "all guesses of the first byte sound alike");
    assert_eq!(key_lived, 7, "the eighth question was the last about a key");
    expect_undecryptable(replicas.decrypt(0, &lin, &sealed).await);

    // What was sealed with that key is lost to the attacker for good: a login brings another one.
    let again = replicas.log_in("lin").await;
    expect_undecryptable(replicas.decrypt(0, &again, &sealed).await);
    assert_eq!(replicas.decrypt(0, &again, &sealed_phone(&again.key, NUMBER)).await.status, 200);
}

//! Findings, and the faults of settings and files, in Chinese. chinese.json has the sentences by their English: `{}`
//! stands for any text, and in the Chinese `{1}` for the first of these texts, which is translated in its turn.

use std::{cmp::Reverse, collections::BTreeMap, sync::LazyLock};

/// A sentence: the texts between the `{}` of its English, and its Chinese.
struct Sentence {
    english: Vec<&'static str>,
    chinese: &'static str,
}

/// First those that begin with words, and of these the ones that leave the least to `{}`.
static SENTENCES: LazyLock<Vec<Sentence>> = LazyLock::new(|| {
    let sentences: BTreeMap<&str, &str> =
        serde_json::from_str(include_str!("chinese.json")).expect("a table of sentences");
    let sentence = |(english, chinese): (&'static str, _)| Sentence { english: english.split("{}").collect(), chinese };
    let mut sentences: Vec<_> = sentences.into_iter().map(sentence).collect();
    sentences.sort_by_key(|sentence| (sentence.english[0].is_empty(), Reverse(sentence.english.concat().len())));
    sentences
});

/// The text in Chinese. What no sentence matches stays as it is, commands and the words of other programs among it.
pub fn in_chinese(text: &str) -> String {
    let (mut said, mut is_chinese) = (String::new(), false);
    for (n, clause) in text.split("; ").enumerate() {
        let chinese = in_clause(clause);
        // Only between two that have their Chinese, because a command has semicolons too.
        let separator = if is_chinese && chinese.is_some() { "；" } else { "; " };
        said = said + if n > 0 { separator } else { "" } + chinese.as_deref().unwrap_or(clause);
        is_chinese = chinese.is_some();
    }
    said
}

/// A clause by its sentence; behind the name of a variable; or on one side of its first colon, or on both.
fn in_clause(text: &str) -> Option<String> {
    let is_name = |text: &str| text.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
    let named = |(name, rest)| is_name(name).then(|| Some(format!("{name} {}", in_sentence(rest)?)))?;
    let divided = |(one, other)| match (in_clause(one), in_clause(other)) {
        (None, None) => None,
        (first, second) => Some([first.as_deref().unwrap_or(one), second.as_deref().unwrap_or(other)].join(": ")),
    };
    in_sentence(text).or_else(|| named(text.split_once(' ')?)).or_else(|| divided(text.split_once(": ")?))
}

/// By the one sentence that matches all of the text.
fn in_sentence(text: &str) -> Option<String> {
    let of = |sentence: &Sentence| Some((sentence.chinese, texts_between(&sentence.english, text)?));
    let (chinese, texts) = SENTENCES.iter().find_map(of)?;
    let mut pieces = chinese.split('{');
    let mut said = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (number, rest) = piece.split_once('}').expect("the number of a text");
        let number: usize = number.parse().expect("a number");
        said = said + &in_chinese(texts[number - 1]) + rest;
    }
    Some(said)
}

/// The texts that `text` has between these pieces; `None` if it does not have the pieces.
fn texts_between<'a>(pieces: &[&str], text: &'a str) -> Option<Vec<&'a str>> {
    let (last, pieces) = pieces.split_last()?;
    let Some((first, pieces)) = pieces.split_first() else { return (*last == text).then(Vec::new) };
    let mut rest = text.strip_prefix(first)?.strip_suffix(last)?;
    let mut texts = Vec::new();
    for piece in pieces {
        let (before, after) = rest.split_once(piece)?;
        texts.push(before);
        rest = after;
    }
    texts.push(rest);
    Some(texts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sentence_with_the_most_words_is_taken_and_its_texts_are_translated() {
        for (english, chinese) in [
            ("appendonly yes", "appendonly yes"),
            ("not checked: Redis is not reached", "未检查：连不上 Redis"),
            ("not checked: WeChat does not say its time", "未检查：微信没有给出时间"),
            (
                "Redis at h:1 takes no writes: the user {2} lacks rights that wxmint needs: +get",
                "Redis h:1 拒绝写入：用户 {2} 缺少 wxmint 需要的权限：+get",
            ),
            ("the clock of this machine is 9 s behind that of WeChat", "本机时钟比微信的时钟慢 9 秒"),
            ("WXMINT_KEYS: /k: is empty; correct the file", "WXMINT_KEYS: /k: 为空；改正该文件"),
            ("WXMINT_KEYS_FILE names a file whose content is empty", "WXMINT_KEYS_FILE 指定的文件，内容为空"),
            ("correct the file; umask 077; openssl rand: x", "改正该文件; umask 077; openssl rand: x"),
            (
                "take it out of the file; run: wxmint keys retire k --now --keys f (in Kubernetes: --secret NAMESPACE/NAME)",
                "请把它从文件里移除；执行：wxmint keys retire k --now --keys f（在 Kubernetes 里用 --secret NAMESPACE/NAME）",
            ),
            (
                "cannot be read: the path stands in quotation marks, which `docker --env-file` keeps: remove them",
                "不能读取：文件路径带有引号，而 `docker --env-file` 会保留引号：请去掉引号",
            ),
            ("nothing of the kind", "nothing of the kind"),
            ("", ""),
        ] {
            assert_eq!(in_chinese(english), chinese);
        }
    }

    #[test]
    fn every_sentence_has_a_text_for_each_number() {
        for sentence in SENTENCES.iter() {
            let english = sentence.english.join("x");
            assert_ne!(in_chinese(&english), english);
        }
    }

    #[test]
    fn words_of_another_program_take_no_longer_the_more_there_are() {
        let text = "A A: b; ".repeat(1_000);
        assert_eq!(in_chinese(&text), text);
    }
}

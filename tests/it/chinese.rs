//! Everything that the doctor finds, and each fault of a setting or a file, has its Chinese in
//! src/findings/chinese.json.

use std::{fs, path::PathBuf};

use wxmint::findings::in_chinese;

use crate::support::repository;

/// Where these sentences are written: files, and folders with all that is in them.
const SOURCES: [&str; 25] = [
    "src/findings.rs",
    "src/doors/scan/clients.rs",
    "src/doors/scan/examine.rs",
    "src/cli/doctor",
    "src/cli/serve.rs",
    "src/issuer/examine.rs",
    "src/redis_checks/mod.rs",
    "src/redis_checks/fitness.rs",
    "src/redis_checks/state.rs",
    "src/settings/reader.rs",
    "src/settings/forms.rs",
    "src/settings/env_file.rs",
    "src/secret_files/mod.rs",
    "src/secret_files/exposure.rs",
    "crates/keys/src/vault/mod.rs",
    "src/apps/files.rs",
    "crates/wechat/src/call.rs",
    "src/accounts/service/answer.rs",
    "src/accounts/file/lines.rs",
    "src/admin/tokens.rs",
    "src/settings/redis.rs",
    "src/settings/sidecar.rs",
    "src/settings/variable.rs",
    "crates/verify/src/key_error.rs",
    "crates/verify/src/ends/feed.rs",
];
/// Texts there that nobody reads in a finding, by their beginning.
const NOT_SAID: [&str; 37] = [
    "{} requests of this secret",
    "nobody has this ",
    "a user id",
    "Settings, from the environment",
    "no answer",
    "wxmint:",
    "unknown command",
    "wants a password",
    "refuses the user name",
    "refuses database",
    "does not speak TLS",
    "does it ",
    "watches no master",
    "it is no Cluster",
    "one server of a Cluster",
    "still reading its data",
    "has expired",
    "lookup address",
    "Sentinels name no server",
    "appendonly yes",
    "_FILE names",
    "wxmint keys generate",
    "wxmint users add",
    "umask 077",
    "wxmint vault key id",
    "a vault has a key",
    "{}_FILE names",
    "{}{} {}",
    "core dumps or tracing",
    "writing to a String",
    "The line of this secret",
    "the admin listener was asked",
    "This secret is not in",
    "# Instead, the path",
    "tests hold ",
    "else {}",
    "every text is a value",
];

fn sources() -> Vec<PathBuf> {
    let files = SOURCES.map(repository).into_iter().flat_map(|path| match path.is_dir() {
        true => fs::read_dir(path).expect("a folder").map(|entry| entry.expect("a file").path()).collect(),
        false => vec![path],
    });
    files.collect()
}

/// The texts of a program without its tests and comments, each with `{}` in place of what is formatted.
fn texts(source: &str) -> Vec<String> {
    let code = source.split("#[cfg(test)]").next().unwrap_or_default();
    let code: String =
        code.lines().filter(|line| !line.trim_start().starts_with("//")).flat_map(|line| [line, "\n"]).collect();
    let (mut texts, mut rest) = (Vec::new(), code.replace("\\\"", "\u{1}").replace("'\"'", ""));
    while let Some((_, begun)) = rest.split_once('"') {
        let (text, after) = begun.split_once('"').expect("the end of a text");
        let mut lines = text.split("\\\n");
        let first = lines.next().unwrap_or_default().to_owned();
        texts.push(formatted(&lines.fold(first, |text, line| text + line.trim_start()).replace('\u{1}', "\"")));
        rest = after.to_owned();
    }
    texts
}

fn formatted(text: &str) -> String {
    let text = text.replace("{{", "\u{1}").replace("}}", "\u{2}");
    let mut pieces = text.split('{');
    let first = pieces.next().unwrap_or_default().to_owned();
    let text = pieces.fold(first, |text, piece| text + "{}" + piece.split_once('}').map_or("", |(_, rest)| rest));
    text.replace('\u{1}', "{").replace('\u{2}', "}")
}

/// Whether a text has a sentence, and not only a name or a format.
fn is_sentence(text: &str) -> bool {
    let is_word = |word: &str| word.len() > 1 && word.bytes().all(|byte| byte.is_ascii_lowercase());
    text.split([' ', ',', ':', ';']).filter(|word| is_word(word)).count() > 1
}

#[test]
fn every_sentence_of_a_finding_or_of_wrong_input_has_its_chinese() {
    let mut missing = Vec::new();
    for path in sources() {
        for text in texts(&fs::read_to_string(&path).expect("a source")) {
            let is_said = is_sentence(&text) && !NOT_SAID.iter().any(|begin| text.starts_with(begin));
            let sentences = text.split("; ").filter(|sentence| is_said && is_sentence(sentence));
            let untold = sentences.filter(|sentence| in_chinese(sentence).is_ascii());
            missing.extend(untold.map(|sentence| format!("{}: {sentence:?}", path.display())));
        }
    }
    assert!(missing.is_empty(), "write the Chinese of these into src/findings/chinese.json:\n{}", missing.join("\n"));
}

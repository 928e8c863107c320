//! Findings, and faults of settings and files, are told in Chinese too. The compiler sees to it that each has its text;
//! here it is that the text is Chinese, and that nothing else is said.

use crate::map::files_of;
use crate::support::prelude::*;

#[test]
fn every_text_is_there_once_is_used_and_is_chinese() {
    let read = |path| {
        fs::read_to_string(path)
            .expect("a source")
            .split_whitespace()
            .collect()
    };
    let below = |kind| files_of(kind, &repository("src"));
    let sources: Vec<String> = below("rs").into_iter().map(read).collect();
    for path in below("json")
        .into_iter()
        .filter(|path| path.ends_with("texts.json"))
    {
        let begin = if path.starts_with(repository("src/findings")) {
            "message!("
        } else {
            "message!(CATALOG:"
        };
        let texts = fs::read_to_string(path).expect("the texts");
        let texts: Vec<[String; 3]> =
            serde_json::from_str(&texts).expect("a code, English and Chinese each");
        assert!(
            texts.is_sorted_by(|[one, ..], [other, ..]| one < other),
            "sort the texts by code"
        );
        for [code, english, chinese] in texts {
            let is_used = [")", ","].map(|end| [begin, &code, end].concat());
            assert!(
                sources
                    .iter()
                    .any(|source| is_used.iter().any(|it| source.contains(it))),
                "nobody says {code}"
            );
            assert!(
                english != chinese && !is_english(&chinese),
                "{code}: {chinese}"
            );
        }
    }
}

/// Whether it has three words one after another, but for commands.
fn is_english(text: &str) -> bool {
    let is_word = |word: &&str| {
        word.len() > 1 && *word != "wxmint" && word.bytes().all(|byte| byte.is_ascii_lowercase())
    };
    // Chinese punctuation has no blanks around it.
    let words: Vec<_> = text
        .split(|letter: char| letter == ' ' || !letter.is_ascii())
        .collect();
    words.windows(3).any(|three| three.iter().all(is_word))
}

/// The lines that a command prints in a Chinese locale.
async fn said(command: &mut std::process::Command) -> Vec<String> {
    let ended = Ended::within_patience(command.env("LANG", "zh_CN.UTF-8")).await;
    ended
        .stdout
        .lines()
        .chain(ended.stderr.lines())
        .map(str::to_owned)
        .collect()
}

#[tokio::test]
async fn in_a_chinese_locale_the_doctor_and_wrong_settings_have_no_english_sentence() {
    let mut bed = TestBed::builder().services(0).start().await;
    let mut all = said(&mut bed.configuration.command_of(&["doctor"])).await;
    bed.redis
        .command::<()>(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]);
    bed.configuration.set("WXMINT_TRUSTED_PROXIES", "0.0.0.0/0");
    all.extend(said(&mut bed.configuration.command_of(&["doctor"])).await);
    for (name, value) in [
        ("WXMINT_KEYS", "/nowhere"),
        ("WXMINT_APPS_DIR", "/nowhere"),
        ("WXMINT_TOKEN_TTL", "soon"),
        ("WXMINT_ISSUER", "http://login.example.com/"),
    ] {
        bed.configuration.set(name, value);
        for words in [&["doctor"][..], &["serve"]] {
            all.extend(said(&mut bed.configuration.command_of(words)).await);
        }
    }
    let folder = tempfile::tempdir().expect("a folder");
    for words in [
        &["doctor", "sidecar"][..],
        &["keys", "list", "--keys", "none"],
        &["doctor", "sidecar", "--public"],
    ] {
        all.extend(said(&mut wxmint_in(&folder, words)).await);
    }
    let is_ours_in_english =
        |line: &&String| is_english(&line.replace("No such file or directory", "(of the system)"));
    let english: Vec<_> = all.iter().filter(is_ours_in_english).collect();
    assert!(all.len() > 30 && english.is_empty(), "{english:#?}");
    let is_han = |letter: char| ('\u{4e00}'..='\u{9fff}').contains(&letter);
    let parts = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let is_apart = |two: &[String]| two[0].ends_with(is_han) && two[1].starts_with(is_han);
    let apart: Vec<_> = all
        .iter()
        .filter(|line| parts(line).windows(2).any(is_apart))
        .collect();
    assert!(apart.is_empty(), "a blank within Chinese: {apart:#?}");
    let form = "格式：一个数字加一个单位 s、m、h 或 d（写 90m，不写 1h30m），1m 到 30d";
    assert!(
        all.iter().any(|line| line.trim() == form),
        "the form, and not what it is for: {all:#?}"
    );
    let are_forms = |line: &String| {
        !["格式：默认值", "格式：必填", "格式：小程序"]
            .iter()
            .any(|it| line.contains(it))
    };
    assert!(
        all.iter().all(are_forms),
        "a form that holds for the sidecar too: {all:#?}"
    );
    // English is what programs read everywhere, and what a locale that names no language says.
    bed.configuration.unset("WXMINT_ISSUER");
    let json = said(&mut bed.configuration.command_of(&["doctor", "--json"]))
        .await
        .concat();
    let plain = bed
        .configuration
        .command_of(&["doctor"])
        .env("LANG", "C")
        .output()
        .expect("wxmint runs");
    // An option says more than the locale.
    let in_english = said(&mut bed.configuration.command_of(&["doctor", "--lang", "en"]))
        .await
        .concat();
    for english in [
        json,
        String::from_utf8(plain.stdout).expect("UTF-8"),
        in_english,
    ] {
        assert!(
            english.contains("WXMINT_ISSUER is not set") && !english.contains("没有"),
            "{english}"
        );
    }
    let chinese = bed
        .configuration
        .command_of(&["doctor", "--lang", "zh"])
        .env("LANG", "C")
        .output();
    let chinese = String::from_utf8(chinese.expect("wxmint runs").stdout).expect("UTF-8");
    assert!(
        chinese.contains("没有") && !chinese.contains("is not set（"),
        "{chinese}"
    );
}

//! `wxmint users revoke|block|unblock|show|erase`: the same acts through Redis alone.

use super::office;
use crate::support::audit::{in_short, is_audit};
use crate::support::prelude::*;

#[tokio::test]
async fn an_id_of_which_nothing_is_known_is_told_the_act_is_done_and_noted_where_the_setting_says()
{
    let office = office(TestBed::builder()).await;
    let user = office.log_in("lin").await.expect_login().member("user_id");
    let told = |words: &[&str]| {
        let told = office
            .run(&[&["users"], words].concat())
            .expect_success()
            .stderr;
        (
            told.contains("nothing was known of"),
            told.contains("The block holds"),
        )
    };
    for word in ["show", "unblock", "revoke", "block", "erase"] {
        let (id, yes): (_, &[&str]) = (
            format!("nobody-{word}"),
            if word == "erase" { &["--yes"] } else { &[] },
        );
        assert_eq!(
            told(&[&[word, &id], yes].concat()),
            (true, word == "block"),
            "{word}"
        );
        assert_eq!(
            told(&[&[word, &user], yes].concat()),
            (false, false),
            "{word}"
        );
        if ["revoke", "block"].contains(&word) {
            assert_eq!(
                told(&[word, &id]),
                (false, false),
                "{word}: it is known by now"
            );
        }
    }
    assert_eq!(office.show("nobody-block").await["blocked"], true);

    // The rights that the pages name are enough.
    let user = office.log_in("mei").await.expect_login().member("user_id");
    let page = fs::read_to_string(repository("docs/operators.md")).expect("a page");
    let more = page
        .split('`')
        .find(|text| text.starts_with("+scan"))
        .expect("more rights");
    let url = url_of_documented_user(&office.redis, "hunter2", more);
    for words in [
        &["show"][..],
        &["revoke"],
        &["block"],
        &["unblock"],
        &["erase", "--yes"],
    ] {
        Ended::of(
            &mut command_on(&url, &[&["users"], words, &[&user]].concat()),
            "",
        )
        .expect_success();
    }

    let path = office.configuration.path("audit.jsonl");
    let run = |word: &str, audit: &str| {
        let mut command = command_on(&office.redis.url(), &["users", word, "user-1"]);
        Ended::of(
            command.env("WXMINT_AUDIT", audit).env("RUST_LOG", "off"),
            "",
        )
        .expect_success()
        .stderr
    };
    let log = run("revoke", "log");
    let [event, place, note] = log.lines().collect::<Vec<_>>()[..] else {
        panic!("three lines: {log}")
    };
    assert!(
        place.contains("the log of `wxmint serve` does not have it"),
        "{place}"
    );
    assert!(note.contains("nothing was known of user-1"), "{note}");
    let event: Value = serde_json::from_str(event).expect("JSON");
    let told = in_short(&event);
    assert_eq!(
        ["action", "user", "outcome"].map(|member| &told[member]),
        ["end", "user-1", "ok"]
    );
    assert!(is_audit(&event) && event["class_uid"] == 3001, "{event}");
    assert!(
        told["by"]
            .as_str()
            .is_some_and(|by| by.starts_with("command:") && by.len() > 8),
        "{event}"
    );
    assert_eq!(run("block", "off"), "");
    let file = format!("file:{}", path.display());
    assert_eq!(run("block", &file) + &run("unblock", &file), "");
    let lines = fs::read_to_string(&path).expect("readable");
    let act = |line| in_short(&serde_json::from_str(line).expect("JSON"))["action"].take();
    let acts: Vec<_> = lines.lines().map(act).collect();
    assert_eq!(acts, ["block", "unblock"]);
}

#[tokio::test]
async fn a_command_that_cannot_be_carried_out_says_so() {
    let redis = RedisServer::start(&[], "").await;
    let refused = |words: &[&str], url: Option<&str>, code: i32, says: &str| {
        let mut command = wxmint();
        command.args(words).env_clear();
        if let Some(url) = url {
            command.env("WXMINT_REDIS_URL", url);
        }
        let ended = Ended::of(&mut command, "").expect_end(code, &[says]);
        assert!(!ended.said().contains("secret"), "{words:?}: {ended:?}");
    };
    let url = redis.url();
    refused(
        &["users", "revoke", "two words"],
        Some(&url),
        64,
        "visible ASCII",
    );
    refused(&["users", "erase", "user-1"], Some(&url), 64, "add --yes");
    for words in [&["users", "revoke", "user-1"][..], &["bindings", "export"]] {
        refused(words, None, 64, "WXMINT_REDIS_URL is not set");
        refused(words, Some("memory:"), 64, "needs a Redis");
        refused(
            words,
            Some("redis://:secret@[wrong"),
            64,
            "WXMINT_REDIS_URL cannot be read",
        );
    }
    // Nobody listens there: a command says so at once.
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("out.ndjson");
    let exported = out.to_str().expect("UTF-8");
    for (words, says) in [
        (
            &["users", "block", "user-1"][..],
            "Run the same command again",
        ),
        (&["users", "show", "user-1"], "wxmint: WXMINT_REDIS_URL: "),
        (
            &["users", "erase", "user-1", "--yes"],
            "wxmint: WXMINT_REDIS_URL: ",
        ),
        (
            &["bindings", "export", "--out", exported],
            "wxmint: WXMINT_REDIS_URL: ",
        ),
    ] {
        refused(words, Some("redis://127.0.0.1:1"), 1, says);
    }
    assert!(!out.exists());
}

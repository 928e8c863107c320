//! `wxmint vault`: what is under which vault key, and a new key that no login and no session notices.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::{Command, Output},
    time::Duration,
};

use serde_json::{Value, json};

use crate::support::{
    APPID, Answer, BUSY, Configuration, PATIENCE, RedisServer, TestBed, WXMINT, eventually, repository, said,
    write_private,
};

/// base64 of 32 bytes.
const OTHER_KEY: &str = "ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=";

fn vault(file: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(WXMINT);
    command.arg("vault").args(words).env_clear().env("WXMINT_VAULT_KEY_FILE", file);
    command
}

fn rotate(file: &Path, words: &[&str]) -> Output {
    vault(file, &[&["rotate"], words].concat()).output().expect("wxmint runs")
}

#[track_caller]
fn done(output: &Output) -> String {
    assert!(output.status.success(), "{}", said(output));
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

#[track_caller]
fn assert_refused(output: &Output, code: i32, sentence: &str) {
    let said = said(output);
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(said.contains(sentence) && !said.contains("panicked"), "{said}");
}

fn list(file: &Path, redis: &RedisServer, words: &[&str]) -> Output {
    let mut command = vault(file, &[&["list"], words].concat());
    command.env("WXMINT_REDIS_URL", redis.url()).output().expect("wxmint runs")
}

/// What `list --json` says of each line: line, state, session keys, previous ones, access tokens.
fn counts(file: &Path, redis: &RedisServer) -> Vec<Value> {
    let rows: Vec<Value> = serde_json::from_str(&done(&list(file, redis, &["--json"]))).expect("JSON");
    let count = |row: Value| json!([row["line"], row["state"], row["current"], row["previous"], row["access_tokens"]]);
    rows.into_iter().map(count).collect()
}

fn key_file(bed: &TestBed) -> PathBuf {
    PathBuf::from(bed.configuration.value("WXMINT_VAULT_KEY_FILE"))
}

/// Asks WeChat, with the session key that is kept, whether the session holds.
async fn session(bed: &TestBed, replica: usize, login: &Answer) -> Answer {
    let request = bed.http.0.get(bed.services[replica].url("/wechat/session"));
    bed.http.send(request.bearer_auth(login.member("access_token"))).await
}

#[track_caller]
fn assert_holds(answer: &Answer) {
    assert_eq!((answer.status, answer.body.as_str()), (200, "{\"valid\":true}"), "{answer:?}");
}

/// All that was kept longer than ten minutes ago, as Redis sees it.
fn age(bed: &TestBed, seconds: u64) {
    let script = "for _, key in ipairs(redis.call('KEYS', '*:session')) do
        local order = redis.call('HGET', key, 'current_order')
        local micros = tonumber(string.sub(order, 1, 16), 16) - ARGV[1] * 1000000
        redis.call('HSET', key, 'current_order', string.format('%016x', micros) .. string.sub(order, 17))
    end";
    bed.redis.command::<()>(&["EVAL", script, "0", &seconds.to_string()]);
}

/// Puts other content in the file's place, as an editor or a deployment does.
fn replace(file: &Path, content: &str) {
    let beside = file.with_extension("new");
    write_private(&beside, content);
    fs::rename(beside, file).expect("renamed");
}

#[tokio::test]
async fn a_key_is_rotated_under_load_and_nothing_fails_on_any_replica() {
    let bed = TestBed::builder().services(2).start().await;
    let (file, people) = (key_file(&bed), ["lin", "mei", "wei"]);
    let mut logins = Vec::new();
    for person in people {
        logins.push(bed.log_in(person).await.expect_login());
    }
    assert_eq!(counts(&file, &bed.redis), [json!([1, "seals", 3, 0, 0])]);

    let said = done(&rotate(&file, &["--lead", "5s"]));
    assert!(said.contains("line 1 is a new key, which seals from 2"), "{said}");
    assert_eq!(counts(&file, &bed.redis)[0], json!([1, "waits", 0, 0, 0]));
    let mut round = 0;
    eventually("everything is under the new key", BUSY + Duration::from_secs(10), async || {
        round += 1;
        let (sealing, opening) = (round % 2, (round + 1) % 2);
        let code = bed.mint_code(&format!("somebody-{round}")).await;
        let new = bed.services[sealing].login(&code).await.expect_login();
        assert_holds(&session(&bed, opening, &new).await);
        for login in &logins {
            assert_holds(&session(&bed, opening, login).await);
        }
        let under = counts(&file, &bed.redis);
        let moved = under[0][1] == "seals" && under[0][2].as_u64() > Some(3);
        moved.then_some(())
    })
    .await;
    for login in &logins {
        assert_holds(&session(&bed, 0, login).await);
    }
    for service in &bed.services {
        let log = service.log();
        assert!(!log.contains("cannot be used") && !log.contains("stays under an older"), "{log}");
    }
}

#[tokio::test]
async fn each_line_tells_what_is_under_it_and_from_when_on_it_may_go() {
    let bed = TestBed::start().await;
    let file = key_file(&bed);
    let (first, second) = (bed.log_in("lin").await.expect_login(), bed.log_in("mei").await.expect_login());
    assert_holds(&session(&bed, 0, &first).await);
    assert_eq!(counts(&file, &bed.redis), [json!([1, "seals", 2, 0, 1])], "an access token was asked for");

    // A new first line without a time, typed by hand, seals at once.
    let old = fs::read_to_string(&file).expect("the key");
    replace(&file, &format!("{OTHER_KEY}\n{old}"));
    eventually("lin's key is under line 1, and the one before under line 2", PATIENCE, async || {
        bed.log_in("lin").await.expect_login();
        (counts(&file, &bed.redis)[0] == json!([1, "seals", 1, 0, 0])).then_some(())
    })
    .await;
    let rows: Vec<Value> = serde_json::from_str(&done(&list(&file, &bed.redis, &["--json"]))).expect("JSON");
    assert_eq!(rows[1]["state"], "opens");
    assert_eq!((&rows[0]["removable_from"], &rows[0]["seals_from"]), (&Value::Null, &Value::Null));
    let life: i64 = bed.redis.command(&["PEXPIRETIME", &session_of(&bed, "mei").await]);
    let removable: chrono::DateTime<chrono::Utc> =
        rows[1]["removable_from"].as_str().expect("a time").parse().expect("RFC 3339");
    let minutes_after_mei = (removable.timestamp_millis() - life) / 60_000;
    assert!((9..=10).contains(&minutes_after_mei), "ten minutes as the previous key: {minutes_after_mei}");

    // What is used comes under the new key, and what is too old to be asked for does not count.
    assert_holds(&session(&bed, 0, &second).await);
    age(&bed, 601);
    bed.redis.command::<i64>(&["DEL", &format!("wxmint:{{{APPID}}}:access-token")]);
    assert_eq!(counts(&file, &bed.redis), [json!([1, "seals", 2, 0, 0]), json!([2, "opens", 0, 0, 0])]);
    let output = list(&file, &bed.redis, &[]);
    let table = done(&output);
    assert!(table.lines().next().is_some_and(|head| head.starts_with("line  key       state  seals from")), "{table}");
    assert!(!table.contains(OTHER_KEY) && !said(&output).contains(&old), "{table}");

    // The new key gets lost.
    replace(&file, &old);
    assert_eq!(counts(&file, &bed.redis), [json!([1, "seals", 0, 0, 0]), json!([null, "missing", 2, 0, 0])]);
    let said = said(&list(&file, &bed.redis, &[]));
    assert!(said.contains("Session keys under a missing key cannot be decrypted"), "{said}");
}

/// The name in Redis of a person's session.
async fn session_of(bed: &TestBed, person: &str) -> String {
    let people = bed.http.get(&format!("{}/_simulator/people", bed.wechat.url())).await.json();
    let person = people["people"].as_array().expect("people").iter().find(|known| known["name"] == person);
    let openid = person.expect("known to WeChat")["apps"][APPID]["openid"].as_str().expect("an openid").to_owned();
    format!("wxmint:{{{APPID}:{openid}}}:session")
}

#[tokio::test]
async fn many_pages_are_counted_and_what_is_not_ours_is_left_alone() {
    let redis = RedisServer::start(&[], "").await;
    let script = "for n = 1, 5000 do
        redis.call('HSET', 'wxmint:{wx1:o' .. n .. '}:session', 'current_order', '0000000000000001-x',
            'current_key', '\\1abcd' .. string.rep('x', 60), 'previous_key', 'too old')
        redis.call('HSET', 'wxmint:{wx1:o' .. n .. '}:binding', 'user_id', 'u')
        redis.call('SET', 'wxmint:{wx1:o' .. n .. '}:limit:name:session', '1')
        redis.call('SET', 'wxmint:{wx1:o' .. n .. '}:attention', '1')
    end";
    redis.command::<()>(&["EVAL", script, "0"]);
    let configuration = Configuration::new("EdDSA");
    let file = PathBuf::from(configuration.value("WXMINT_VAULT_KEY_FILE"));
    assert_eq!(counts(&file, &redis), [json!([1, "seals", 0, 0, 0]), json!([null, "missing", 5000, 0, 0])]);
    assert!(done(&list(&file, &redis, &[])).contains("61626364"), "the missing key's mark");
}

#[tokio::test]
async fn the_rights_that_the_page_names_are_enough() {
    let bed = TestBed::start().await;
    bed.log_in("lin").await.expect_login();
    let [rights, page] =
        ["docs/redis.md", "docs/vault.md"].map(|page| fs::read_to_string(repository(page)).expect(page));
    let rule = rights.lines().find(|line| line.starts_with("ACL SETUSER wxmint")).expect("a rule");
    let more = page.split('`').find(|text| text.starts_with("+scan")).expect("more rights");
    let rule = format!("{} {more}", rule.replace(">PASSWORD", ">hunter2"));
    bed.redis.command::<()>(&rule.split(' ').collect::<Vec<_>>());
    let url = bed.redis.url().replace("redis://", "redis://wxmint:hunter2@");
    done(&vault(&key_file(&bed), &["list"]).env("WXMINT_REDIS_URL", url).output().expect("wxmint runs"));
}

#[test]
fn a_new_key_is_put_into_the_file_once_and_owner_mode_and_old_lines_stay() {
    let configuration = Configuration::new("EdDSA");
    let (file, link) = (PathBuf::from(configuration.value("WXMINT_VAULT_KEY_FILE")), configuration.path("link"));
    let old = format!("\n{}\r\n{OTHER_KEY}", fs::read_to_string(&file).expect("the key"));
    replace(&file, &old);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o400)).expect("our file");
    symlink(&file, &link).expect("a link");

    let first = done(&rotate(&link, &[]));
    let new = fs::read_to_string(&file).expect("the keys");
    let (line, rest) = new.split_once('\n').expect("lines");
    assert_eq!(rest, old);
    assert_eq!((line.len(), line.matches(' ').count()), (44 + 1 + 20, 1), "a key and a time");
    assert!(first.contains("line 1 is a new key") && !first.contains(&line[..44]), "{first}");
    assert_eq!(fs::metadata(&file).expect("there").permissions().mode() & 0o777, 0o400);
    assert!(link.is_symlink());

    let again = done(&rotate(&file, &["--lead", "30m"]));
    assert!(again.contains("a new key waits already, and seals from 2"), "{again}");
    assert_eq!(fs::read_to_string(&file).expect("the keys"), new);
}

#[tokio::test]
async fn what_cannot_be_done_is_said_and_changes_nothing() {
    let configuration = Configuration::new("EdDSA");
    let file = PathBuf::from(configuration.value("WXMINT_VAULT_KEY_FILE"));
    let missing = configuration.path("nowhere.key");
    assert_refused(&rotate(&missing, &[]), 64, "No such file");
    assert_refused(&rotate(Path::new(""), &[]), 64, "WXMINT_VAULT_KEY_FILE is not set");
    assert_refused(&rotate(&file, &["--lead", "soon"]), 64, "must be a number and a unit");

    let bad = configuration.path("bad.key");
    write_private(&bad, &format!("{OTHER_KEY}\nhunter2-hunter2"));
    assert_refused(&rotate(&bad, &[]), 64, "line 2 must be base64 of 32 bytes");
    assert!(!said(&rotate(&bad, &[])).contains("hunter2"));
    fs::set_permissions(&bad, fs::Permissions::from_mode(0o644)).expect("our file");
    assert_refused(&rotate(&bad, &[]), 64, "chmod 600");
    assert_eq!(fs::read_to_string(&bad).expect("there"), format!("{OTHER_KEY}\nhunter2-hunter2"));

    let list_at = |url: &str| vault(&file, &["list"]).env("WXMINT_REDIS_URL", url).output().expect("wxmint runs");
    assert_refused(&list_at("memory:"), 64, "this command needs a Redis");
    assert_refused(&list_at(""), 64, "WXMINT_REDIS_URL is not set");
    assert_refused(&list_at("redis://127.0.0.1:1"), 1, "WXMINT_REDIS_URL: the store did not answer");
}

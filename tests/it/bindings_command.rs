//! `wxmint bindings`: from one Redis to another, and from another system.

use crate::support::prelude::*;
use std::os::unix::fs::MetadataExt;

const OTHER_APP: &str = "wxanother";

fn command(redis: &RedisServer, words: &[&str]) -> Command {
    command_on(&redis.url(), &[&["bindings"], words].concat())
}

#[track_caller]
fn run(redis: &RedisServer, words: &[&str]) -> Ended {
    Ended::of(&mut command(redis, words), "")
}

/// Runs it where it must succeed; returns what it says.
#[track_caller]
fn done(redis: &RedisServer, words: &[&str]) -> String {
    run(redis, words).expect_success().said()
}

/// It fails with this code, says `sentence`, and nothing of what the file holds.
#[track_caller]
fn assert_refused(redis: &RedisServer, words: &[&str], code: i32, sentence: &str) {
    let said = run(redis, words).expect_end(code, &[sentence]).said();
    assert!(!said.contains("secret"), "{words:?}: {said}");
}

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_string_lossy().into_owned()
    }

    fn write(&self, name: &str, content: &str) -> String {
        fs::write(self.path(name), content).expect("written");
        self.path(name)
    }
}

/// `count` people of another system, with a user each; every third has a unionid.
fn table(count: u32) -> String {
    let line = |number: u32| {
        let mut line = json!({"appid": APPID, "openid": format!("o{number}"), "user_id": format!("user-{number}")});
        if number.is_multiple_of(3) {
            line["unionid"] = format!("n{number}").into();
        }
        format!("{line}\n")
    };
    (0..count).map(line).collect()
}

/// A person whose unionid is `n1`.
fn line(app: &str, user: &str) -> String {
    format!(
        "{}\n",
        json!({"appid": app, "openid": "o1", "user_id": user, "unionid": "n1"})
    )
}

/// Writes bindings of `count` people as wxmint would, faster.
fn fill(redis: &RedisServer, count: u32) {
    let script = "for n = 1, ARGV[2] do redis.call('HSET', string.gsub(ARGV[1], '*', 'o' .. n), 'g', 1, \
                  'u', 'user-' .. n, 'b', 1700000000 + n) end";
    redis.command::<()>(&[
        "EVAL",
        script,
        "0",
        &redis_keys::binding(APPID, "*"),
        &count.to_string(),
    ]);
}

/// How many people an export says that it has, and its lines in order.
fn sum(path: &str) -> (u64, Vec<String>) {
    let text = fs::read_to_string(path).expect("an export");
    let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
    let trailer: Value = serde_json::from_str(lines.last().expect("a last line")).expect("JSON");
    lines.sort();
    (
        trailer["wxmint_bindings"]["count"]
            .as_u64()
            .expect("a number"),
        lines,
    )
}

/// The sum of what a Redis holds now.
fn sum_of(redis: &RedisServer) -> (u64, Vec<String>) {
    let folder = Folder::new();
    done(redis, &["export", "--out", &folder.path("now.ndjson")]);
    sum(&folder.path("now.ndjson"))
}

/// The lines of an export whose unionid belongs to another user.
fn conflicts(redis: &RedisServer) -> Vec<String> {
    sum_of(redis)
        .1
        .into_iter()
        .filter(|line| line.contains("unionid_conflict"))
        .collect()
}

#[tokio::test]
async fn bindings_move_to_another_redis_and_logins_find_their_users() {
    let (folder, other) = (Folder::new(), RedisServer::start(&[], "").await);
    let mut bed = TestBed::builder().operator().start().await;
    let table = folder.write("table.ndjson", &table(496));
    done(&bed.redis, &["import", &table, "--no-trailer"]);
    let people = ["lin", "mei", "wei"];
    let mut logins = Vec::new();
    for person in people {
        logins.push(bed.log_in(person).await.expect_login());
    }
    let path = format!("/users/{}/wechat", logins[0].member("user_id"));
    let look_up = async |service: &Service| {
        service
            .operate("GET", &path, OPERATOR, &Value::Null)
            .await
            .json()
    };
    let known = look_up(bed.service()).await;
    let gone = bed.log_in("gone").await.expect_login();
    bed.dissolve(&gone).await;

    let file = folder.path("bindings.ndjson");
    let told = done(&bed.redis, &["export", "--out", &file]);
    let exported = sum(&file);
    assert!(
        exported.0 == 500 && told.contains("exported 500 people"),
        "{told}"
    );
    assert_eq!(
        fs::metadata(&file).expect("there").mode() & 0o777,
        0o600,
        "openids are personal"
    );
    assert!(!Path::new(&folder.path("bindings.ndjson.part")).exists());
    run(&other, &["import", &file]).expect_end(
        0,
        &["bind: imported 500 people; 0 were unchanged; 0 were refused"],
    );
    assert_eq!(sum_of(&other), exported);

    bed.configuration.set("WXMINT_REDIS_URL", &other.url());
    let moved = bed.another().await;
    for (person, before) in people.iter().zip(&logins) {
        let after = moved
            .login(&bed.mint_code(person).await)
            .await
            .expect_login();
        assert_eq!(
            (after.member("user_id"), &after.json()["new_user"]),
            (before.member("user_id"), &json!(false))
        );
    }
    assert_eq!(look_up(&moved).await, known, "also since when");
    let again = moved
        .login(&bed.mint_code("gone").await)
        .await
        .expect_login();
    let users = [&again, &gone].map(|login| login.member("user_id"));
    assert_ne!(
        users[0], users[1],
        "who has dissolved a binding is not bound again unasked"
    );
}

#[tokio::test]
async fn a_file_with_anything_wrong_is_refused_before_anything_is_written() {
    let (redis, folder) = (RedisServer::start(&[], "").await, Folder::new());
    fill(&redis, 3);
    done(&redis, &["export", "--out", &folder.path("good.ndjson")]);
    redis.command::<()>(&["FLUSHALL"]);
    let good = fs::read_to_string(folder.path("good.ndjson")).expect("an export");
    let lines: Vec<&str> = good.lines().collect();
    let secret = format!(r#"{{"appid":"{APPID}","openid":"secret!","user_id":"u"}}"#);
    for (content, sentence) in [
        (lines[..3].join("\n"), "it ends without a trailer"),
        (
            good[..good.len() - 5].to_owned(),
            "line 4 is a trailer of another form",
        ),
        (
            [lines[0], lines[1], lines[3]].join("\n"),
            "it has 2 people, but had 3 when it was exported",
        ),
        (
            good.replace(lines[1], &secret),
            "line 2 `openid` must consist of",
        ),
        (format!("{good}{secret}\n"), "line 5 follows the trailer"),
        ("secret\n".repeat(100), "and 80 more lines"),
        (String::new(), "it ends without a trailer"),
    ] {
        let file = folder.write("bad.ndjson", &content);
        assert_refused(&redis, &["import", &file], 64, sentence);
        assert_eq!(redis.command::<u64>(&["DBSIZE"]), 0, "{sentence}");
    }
    assert_refused(
        &redis,
        &["import", &folder.path("good.ndjson"), "--no-trailer"],
        64,
        "line 4 is a trailer: remove",
    );
    assert_refused(
        &redis,
        &["import", &folder.path("none.ndjson")],
        64,
        "No such file",
    );
    done(
        &redis,
        &[
            "import",
            &folder.write("marked.ndjson", &format!("\u{feff}{good}")),
        ],
    );
    assert_eq!(
        sum_of(&redis),
        sum(&folder.path("good.ndjson")),
        "a byte order mark is read"
    );

    let precious = folder.write("out.ndjson", "precious");
    assert_refused(
        &redis,
        &["export", "--out", &precious],
        64,
        "out.ndjson exists already and is not overwritten",
    );
    assert_eq!(fs::read_to_string(precious).expect("there"), "precious");
    assert_refused(
        &redis,
        &["export", "--out", &folder.path("good.ndjson")],
        64,
        "good.ndjson exists already",
    );
    assert_refused(
        &redis,
        &["export", "--out", &folder.path("none/out.ndjson")],
        1,
        "No such file",
    );
}

#[tokio::test]
async fn whoever_is_bound_stays_bound_and_a_user_has_as_many_people_as_the_setting_or_a_number_says()
 {
    let (redis, folder) = (RedisServer::start(&[], "").await, Folder::new());
    done(
        &redis,
        &[
            "import",
            &folder.write("first.ndjson", &table(3)),
            "--no-trailer",
        ],
    );
    let second = table(4).replace("user-1", "another-user");
    let told = run(
        &redis,
        &[
            "import",
            &folder.write("second.ndjson", &second),
            "--no-trailer",
        ],
    );
    let told = told.expect_end(1, &["imported 1 people; 2 were unchanged; 1 were refused"]);
    assert_eq!(told.stdout, "line 2: the person is bound to another user\n");
    let again = done(
        &redis,
        &["import", &folder.path("first.ndjson"), "--no-trailer"],
    );
    assert!(
        again.contains("imported 0 people; 3 were unchanged"),
        "{again}"
    );
    let bound_to =
        |openid: &str| redis.command::<String>(&["HGET", &redis_keys::binding(APPID, openid), "u"]);
    assert_eq!(
        (bound_to("o1"), bound_to("o3")),
        ("user-1".into(), "user-3".into())
    );
    // As after a restore of a Cluster whose primaries were saved at different times.
    let list = || redis.command::<Vec<Vec<u8>>>(&["HGETALL", "wxmint:user:{user-1}"]);
    let before = list();
    redis.command::<()>(&["DEL", "wxmint:user:{user-1}"]);
    done(
        &redis,
        &["import", &folder.path("first.ndjson"), "--no-trailer"],
    );
    assert_eq!(
        (list(), before.len()),
        (before, 2),
        "blocks go by this list"
    );
    let users =
        |words: &[&str]| Ended::of(&mut command_on(&redis.url(), words), "").expect_success();
    users(&["users", "block", "user-9"]);
    let ninth = folder.write("ninth.ndjson", r#"{"openid":"o9","user_id":"user-9"}"#);
    let import = ["import", &ninth, "--no-trailer", "--appid", APPID];
    assert_refused(&redis, &import, 1, "unblock, import, and block again");
    users(&["users", "unblock", "user-9"]);
    done(&redis, &import);

    redis.command::<()>(&["FLUSHALL"]);
    let line = |number| {
        format!(
            "{}\n",
            json!({"appid": APPID, "openid": format!("o{number}"), "user_id": "one"})
        )
    };
    let table = folder.write("table.ndjson", &(0..3).map(line).collect::<String>());
    let full = ": the user has as many people in this app as --per-user or WXMINT_BINDINGS_PER_USER allows\n";
    assert_refused(&redis, &["import", &table, "--no-trailer"], 1, full);
    let mut limited = command(&redis, &["import", &table, "--no-trailer"]);
    limited.env("WXMINT_BINDINGS_PER_USER", "2").envs([
        ("WXMINT_APPID", OTHER_APP),
        ("WXMINT_APP_SECRET", APP_SECRET),
    ]);
    let unknown = format!("no app here has the AppID {APPID}: ");
    let told = Ended::of(&mut limited, "").expect_end(1, &["imported 1 people", &unknown]);
    assert_eq!(
        told.stdout.lines().collect::<Vec<_>>(),
        [format!("line 3{}", full.trim_end())]
    );
    let told = done(
        &redis,
        &["import", &table, "--no-trailer", "--per-user", "3"],
    );
    assert!(
        told.contains("imported 1 people; 2 were unchanged"),
        "{told}"
    );
}

#[tokio::test]
async fn a_unionid_of_two_users_keeps_both_is_listed_and_moves_as_it_is() {
    let (redis, other, folder) = (
        RedisServer::start(&[], "").await,
        RedisServer::start(&[], "").await,
        Folder::new(),
    );
    done(
        &redis,
        &[
            "import",
            &folder.write("one.ndjson", &line(APPID, "first")),
            "--no-trailer",
        ],
    );
    assert_eq!(conflicts(&redis), [""; 0]);
    run(
        &redis,
        &[
            "import",
            &folder.write("two.ndjson", &line(OTHER_APP, "second")),
            "--no-trailer",
        ],
    )
    .expect_end(
        0,
        &[
            "imported 1 people",
            "the unionids of 1 people belong to other users",
        ],
    );
    let listed = conflicts(&redis);
    let members = r#""openid":"o1","user_id":"second","unionid":"n1","unionid_conflict":"first""#;
    assert!(
        listed.len() == 1 && listed[0].contains(members),
        "{listed:?}"
    );

    // The other way round in the file, and yet the unionid stands for the same user.
    done(&redis, &["export", "--out", &folder.path("both.ndjson")]);
    let both = fs::read_to_string(folder.path("both.ndjson")).expect("an export");
    let mut lines: Vec<&str> = both.lines().collect();
    lines.sort_by_key(|line| (line.starts_with(r#"{"wxmint"#), !line.contains("second")));
    done(
        &other,
        &[
            "import",
            &folder.write("both-sorted.ndjson", &lines.join("\n")),
        ],
    );
    assert_eq!(sum_of(&other), sum(&folder.path("both.ndjson")));

    // Mended as docs/user-ids.md says: the second user's person has ended the binding, and is bound to the first.
    let binding = redis_keys::binding(OTHER_APP, "o1");
    redis.command::<()>(&["DEL", &binding]);
    redis.command::<()>(&["HSET", &binding, "g", "1", "v", "1"]);
    done(
        &redis,
        &[
            "import",
            &folder.write("mended.ndjson", &line(OTHER_APP, "first")),
            "--no-trailer",
        ],
    );
    assert_eq!(conflicts(&redis), [""; 0]);
    assert_eq!(redis.command::<String>(&["HGET", &binding, "u"]), "first");
}

/// An export to `out.ndjson` that has written some lines, and waits for an answer of Redis behind the link.
async fn halted_export(redis: &RedisServer, folder: &Folder) -> (Process, Breakable) {
    fill(redis, 20_000);
    let link = Breakable::before(([127, 0, 0, 1], redis.port()).into()).await;
    let mut command = command(redis, &["export", "--out", &folder.path("out.ndjson")]);
    let export = Process::spawn(
        "export",
        command.env("WXMINT_REDIS_URL", redis.url_through(link.port())),
    );
    let half = folder.path("out.ndjson.part");
    until("a page", PATIENCE, async || {
        fs::metadata(&half).is_ok_and(|half| half.len() > 0)
    })
    .await;
    link.withhold_from(1);
    until("no answer", PATIENCE, async || link.is_withholding()).await;
    (export, link)
}

#[tokio::test]
async fn half_an_export_has_not_the_name_of_a_whole_one_and_running_it_again_makes_it_whole() {
    let (redis, another, folder) = (
        RedisServer::start(&[], "").await,
        RedisServer::start(&[], "").await,
        Folder::new(),
    );
    let (mut export, link) = halted_export(&redis, &folder).await;
    link.lead_to(([127, 0, 0, 1], another.port()).into());
    link.hang_up().await;
    let status = export.end(PATIENCE).await;
    let told = export.stderr().join("\n");
    assert_eq!(status.code(), Some(1), "{told}");
    assert!(
        told.contains("Redis was restarted meanwhile. Run the same command again."),
        "{told}"
    );
    assert_eq!(
        fs::read_dir(folder.path("")).expect("the folder").count(),
        0
    );

    let (mut export, _link) = halted_export(&redis, &folder).await;
    export.signal(Signal::STOP);
    let (out, half) = (folder.path("out.ndjson"), folder.path("out.ndjson.part"));
    assert_refused(
        &redis,
        &["export", "--out", &out],
        64,
        "out.ndjson is being written by another export",
    );
    export.kill();
    assert!(!Path::new(&out).exists());
    assert!(fs::metadata(&half).expect("half an export").len() > 0);
    done(&redis, &["export", "--out", &out]);
    assert_eq!(sum(&out), sum_of(&redis));
    assert_eq!(sum_of(&redis).0, 20_000);
    assert!(!Path::new(&half).exists());
}

#[tokio::test]
async fn an_import_that_is_killed_again_and_again_comes_to_the_whole() {
    let (redis, folder) = (RedisServer::start(&[], "").await, Folder::new());
    fill(&redis, 1000);
    let (link, table) = (
        Breakable::before(([127, 0, 0, 1], redis.port()).into()).await,
        folder.path("in.ndjson"),
    );
    done(&redis, &["export", "--out", &table]);
    redis.command::<()>(&["FLUSHALL"]);
    for answered in [Some(4), Some(8), Some(12), None] {
        link.withhold_from(answered.unwrap_or(0));
        let mut command = command(&redis, &["import", &table]);
        let mut import = Process::spawn(
            "import",
            command.env("WXMINT_REDIS_URL", redis.url_through(link.port())),
        );
        if answered.is_none() {
            let status = import.end(PATIENCE).await;
            assert!(status.success(), "{:?}", import.stderr());
            break;
        }
        until("some bindings", PATIENCE, async || link.is_withholding()).await;
        import.kill();
        link.restore().await;
    }
    assert_eq!(sum_of(&redis), sum(&table));
}

#[tokio::test]
async fn the_rights_that_the_pages_name_are_enough_and_the_further_ones_are_used() {
    let (redis, folder) = (RedisServer::start(&[], "").await, Folder::new());
    let page = fs::read_to_string(repository("docs/user-ids.md")).expect("a page");
    let more = page
        .split('`')
        .find(|text| text.starts_with("+scan"))
        .expect("more rights");
    let url = url_of_documented_user(&redis, "hunter2", "");
    let allowed = |words: &[&str]| {
        Ended::of(command(&redis, words).env("WXMINT_REDIS_URL", &url), "").expect_success();
    };

    let two_users = line(APPID, "one") + &line(OTHER_APP, "two");
    let dissolved = json!({"appid": APPID, "openid": "o2", "dissolved": true}).to_string();
    let table = folder.write("table.ndjson", &(two_users + &dissolved));
    allowed(&["import", &table, "--no-trailer"]);

    url_of_documented_user(&redis, "hunter2", more);
    allowed(&["export"]);
    let used: String = redis.command(&["INFO", "commandstats"]);
    for right in more.split(' ') {
        assert!(
            used.contains(&right.replace('+', "cmdstat_")),
            "{right}: {used}"
        );
    }
}

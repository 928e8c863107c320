//! `wxmint init`: what it writes, `wxmint serve` starts with; whatever goes wrong, nothing is left.

use std::os::unix::fs::{PermissionsExt, symlink};

use crate::readme::blocks;
use crate::support::prelude::*;

/// The files that it writes, in the order in which it names what is in the way.
const FILES: [&str; 5] = ["keys.json", "vault.key", "id.key", "apps", ".env"];
const SECRET_FILE: &str = "apps/wx0123456789abcdef";
/// As docs/operation.md has it.
const SECOND: &str = "wxfedcba9876543210";
const REDIS: &str = "redis://:hunter2@127.0.0.1:1";

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

/// In this folder, with all that must be known but the AppSecret.
fn init(folder: &Path) -> Command {
    wxmint_in(
        folder,
        &[
            "init", "--app-id", APPID, "--issuer", ISSUER, "--redis", REDIS,
        ],
    )
}

fn init_with_secret(folder: &Path) -> Command {
    let mut command = init(folder);
    command.env("WXMINT_APP_SECRET", APP_SECRET);
    command
}

#[track_caller]
fn made(command: &mut Command, input: &str) -> String {
    let ended = Ended::of(command, input).expect_success();
    assert!(
        !ended.said().contains(APP_SECRET) && !ended.said().contains("hunter2"),
        "{ended:?}"
    );
    ended.stdout
}

#[track_caller]
fn refused(command: &mut Command, code: i32, sentence: &str) -> String {
    Ended::of(command, "").expect_end(code, &[sentence]).said()
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").file_name());
    let mut names: Vec<_> = entries
        .map(|name| name.into_string().expect("UTF-8"))
        .collect();
    names.sort();
    names
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("there").permissions().mode() & 0o777
}

fn set_in_env(folder: &Path) -> Vec<String> {
    let text = fs::read_to_string(folder.join(".env")).expect("a file");
    text.lines()
        .filter(|line| line.starts_with("WXMINT_"))
        .map(str::to_owned)
        .collect()
}

#[tokio::test]
async fn serve_starts_with_what_init_has_written_signs_with_its_key_and_takes_a_second_mini_program()
 {
    let parent = folder();
    let place = parent.path().join("a/b");
    let said = made(
        init(parent.path()).args(["--dir", "a/b", "--app-secret-file", "-"]),
        &format!("{APP_SECRET}\n"),
    );
    assert!(
        said.ends_with("Next:\n  cd a/b\n  wxmint doctor\n  wxmint serve\n"),
        "{said}"
    );
    assert_eq!(
        names(&place),
        [".env", "apps", "id.key", "keys.json", "vault.key"]
    );
    assert_eq!(
        (mode(&place), FILES.map(|name| mode(&place.join(name)))),
        (0o700, [0o600, 0o600, 0o600, 0o700, 0o600])
    );
    let secret = place.join(SECRET_FILE);
    let content = fs::read_to_string(&secret).expect("a file");
    assert_eq!((mode(&secret), content), (0o600, format!("{APP_SECRET}\n")));
    assert!(
        !fs::read_to_string(place.join(".env"))
            .expect("a file")
            .contains(APP_SECRET)
    );
    let mut serve = wxmint_in(&place, &["serve"]);
    serve
        .env("WXMINT_LISTEN", "127.0.0.1:0")
        .env("WXMINT_ADMIN_LISTEN", "127.0.0.1:0");
    let mut service = Process::spawn("wxmint serve", &mut serve);
    service.listens(["public"]).await;
    let listening = service
        .events()
        .into_iter()
        .find(|event| event["message"] == "listening")
        .expect("listening");
    assert_eq!(
        (&listening["issuer"], &listening["apps"]),
        (&ISSUER.into(), &APPID.into())
    );
    let key = service.says("this key signs").await;
    let jwks = Ended::of(&mut wxmint_in(&place, &["keys", "jwks"]), "").stdout;
    let kid = &jwks.split("\"kid\":\"").nth(1).expect("a kid")[..43];
    assert!(key.contains(kid), "{key}: {kid}");
    // Written before it listens.
    let remarks = service
        .events()
        .into_iter()
        .take_while(|event| event["message"] != "listening");
    assert_eq!(remarks.count(), 0, "{:?}", service.events());

    // One more mini program is one more file, and no restart: the command of docs/operation.md.
    let page = fs::read_to_string(repository("docs/operation.md")).expect("a page");
    let command = &blocks(&page)["second"];
    let mut shell = Command::new("bash");
    shell
        .args(["-euc", command])
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default());
    made(shell.current_dir(&place), &format!("{OTHER_SECRET}\n"));
    assert_eq!(mode(&place.join("apps").join(SECOND)), 0o600);
    let changed = service.says("the apps have changed").await;
    assert!(
        changed.contains(&format!("\"added\":\"{SECOND}\"")),
        "{changed}"
    );
}

#[test]
fn nothing_is_overwritten_and_what_is_in_the_way_is_named() {
    let place = folder();
    made(&mut init_with_secret(place.path()), "");
    let files = ["keys.json", "vault.key", "id.key", SECRET_FILE, ".env"];
    let before = files.map(|name| fs::read(place.path().join(name)).expect("a file"));
    refused(
        &mut init_with_secret(place.path()),
        64,
        "has these already: keys.json, vault.key, id.key, apps, .env.",
    );
    assert_eq!(
        files.map(|name| fs::read(place.path().join(name)).expect("a file")),
        before
    );

    let elsewhere = folder();
    fs::write(elsewhere.path().join("target"), "precious").expect("written");
    for name in FILES {
        for leads_to in ["target", "nowhere"] {
            let place = folder();
            symlink(elsewhere.path().join(leads_to), place.path().join(name)).expect("a link");
            // Before anything is asked: there is no AppSecret.
            refused(
                &mut init(place.path()),
                64,
                &format!("has these already: {name}."),
            );
            assert_eq!(names(place.path()), [name]);
            assert_eq!(names(elsewhere.path()), ["target"]);
            assert_eq!(
                fs::read_to_string(elsewhere.path().join("target")).expect("a file"),
                "precious"
            );
        }
    }
}

#[tokio::test]
async fn a_value_that_serve_refuses_is_refused_in_the_same_words() {
    for (option, name, value) in [
        (
            "--appid",
            "WXMINT_APPID",
            "0123456789abcdef0123456789abcdef",
        ),
        ("--issuer", "WXMINT_ISSUER", "http://login.example.com"),
        ("--issuer", "WXMINT_ISSUER", "https://login.example.com/"),
        ("--redis-url", "WXMINT_REDIS_URL", "http://hunter2"),
        ("", "WXMINT_APP_SECRET", "hunter2"),
    ] {
        let place = folder();
        let mut command = wxmint_in(&place, &["init", "--demo"]);
        command.args([option, value].iter().filter(|_| !option.is_empty()));
        if option.is_empty() {
            fs::write(place.path().join("secret"), value).expect("written");
            command.args(["--app-secret-file", "secret"]);
        }
        let told = refused(&mut command, 64, "nothing was written");
        let mut configuration = Configuration::new("ES256");
        configuration.set(name, value);
        let serve = configuration.refused().await;
        let of_variable = |text: &str| {
            text.lines()
                .skip_while(|line| !line.starts_with(name))
                .take(3)
                .collect::<String>()
        };
        assert!(
            of_variable(&told).contains("wanted:") && of_variable(&told) == of_variable(&serve),
            "{told}\n{serve}"
        );
        assert!(!told.contains("hunter2"), "{told}");
        assert!(
            FILES.iter().all(|name| !place.path().join(name).exists()),
            "{:?}",
            names(place.path())
        );
    }
}

#[test]
fn a_platform_without_an_app_of_its_own_gets_no_folder_of_apps_and_is_asked_for_no_app() {
    let place = folder();
    let words = [
        "init",
        "--platform-file",
        "platform.json",
        "--issuer",
        ISSUER,
        "--redis",
        REDIS,
    ];
    made(&mut wxmint_in(&place, &words), "");
    assert_eq!(
        names(place.path()),
        [".env", "id.key", "keys.json", "vault.key"]
    );
    let set = set_in_env(place.path());
    assert!(
        set.contains(&"WXMINT_PLATFORM_FILE=platform.json".to_owned()),
        "{set:?}"
    );
    assert!(
        !set.iter().any(|line| line.starts_with("WXMINT_APP")),
        "{set:?}"
    );
    // Nor does the service want one.
    let checked = Ended::of(&mut wxmint_in(&place, &["doctor"]), "").said();
    assert!(
        checked.contains("settings            complete") && !checked.contains("WXMINT_APP"),
        "{checked}"
    );
}

#[test]
fn without_a_terminal_what_is_missing_is_named_with_the_options() {
    let place = folder();
    let told = refused(
        &mut wxmint_in(&place, &["init"]),
        64,
        "Give --appid, --app-secret-file",
    );
    for name in [
        "WXMINT_ISSUER",
        "WXMINT_APPID",
        "WXMINT_APP_SECRET",
        "WXMINT_REDIS_URL",
    ] {
        assert!(told.contains(&format!("{name} is not set")), "{told}");
    }
    assert!(!told.contains("WXMINT_KEYS is not set"), "{told}");
    refused(
        init(place.path()).args(["--app-secret-file", "none"]),
        64,
        "--app-secret-file none: No such file",
    );
    refused(
        init(place.path()).args(["--app-secret-file", "-"]),
        64,
        "WXMINT_APP_SECRET is not set",
    );
    assert_eq!(names(place.path()), [""; 0]);
}

/// A password of characters that a URL takes as they are, and that shells and readers of `.env` do not.
#[tokio::test]
async fn a_password_of_odd_characters_is_read_as_it_was_written_by_wxmint_and_by_a_shell() {
    for password in ["a$b${HOME}$$'=+,~`|{}^", "a!b&c;d(e)*", "\"quoted\"\\'\\"] {
        let redis = RedisServer::start(&[], password).await;
        let url = format!("redis://:{password}@127.0.0.1:{}", redis.port());
        let place = folder();
        let mut init = wxmint_in(&place, &["init", "--appid", APPID, "--issuer", ISSUER]);
        made(
            init.env("WXMINT_APP_SECRET", APP_SECRET)
                .env("WXMINT_REDIS_URL", &url),
            "",
        );
        Ended::of(&mut wxmint_in(&place, &["users", "show", "nobody"]), "").expect_success();
        let mut shell = Command::new("bash");
        shell
            .args(["-c", "set -a; . ./.env; printf %s \"$WXMINT_REDIS_URL\""])
            .env_clear()
            .current_dir(place.path());
        assert_eq!(
            String::from_utf8(shell.output().expect("bash").stdout).expect("UTF-8"),
            url
        );
    }
}

#[test]
fn in_a_git_work_tree_the_files_are_kept_out_of_git() {
    let place = folder();
    let git = |words: &[&str]| {
        let output = Command::new("git")
            .args(words)
            .current_dir(place.path())
            .output()
            .expect("git");
        String::from_utf8(output.stdout).expect("UTF-8")
    };
    git(&["init", "--quiet"]);
    made(init_with_secret(place.path()).args(["--dir", "login"]), "");
    assert_eq!(
        git(&["status", "--porcelain", "-uall"]),
        "?? login/.gitignore\n"
    );
    fs::write(place.path().join(".gitignore"), "/keys.json\n.env\n").expect("written");
    let advice = "Check that ./.gitignore keeps these out of git: keys.json vault.key id.key apps/ admin.tokens .env .*.lock";
    Ended::of(&mut init_with_secret(place.path()), "").expect_end(0, &[advice]);
    assert_eq!(
        fs::read_to_string(place.path().join(".gitignore")).expect("a file"),
        "/keys.json\n.env\n"
    );
}

#[test]
fn on_a_full_disk_or_without_rights_nothing_is_left() {
    let place = folder();
    let mut full = on_a_full_disk(
        wxmint()
            .args(["init", "--demo", "--dir", "new"])
            .current_dir(place.path()),
    );
    refused(
        &mut full,
        1,
        "nothing was written: new/keys.json: File too large",
    );
    assert_eq!(
        names(place.path()),
        [""; 0],
        "the folder that was made is gone"
    );
    refused(
        init_with_secret(place.path()).args(["--dir", "/proc/wxmint"]),
        1,
        "/proc/wxmint: ",
    );
}

#[tokio::test]
async fn at_a_terminal_it_asks_until_the_answers_are_good_and_shows_no_secret() {
    let place = folder();
    let mut terminal = Terminal::of(&["init"], place.path());
    terminal
        .answer("AppID of the mini program", true, "what?\n")
        .await;
    terminal
        .answer("WXMINT_APPID is not valid", true, "hello\n")
        .await;
    terminal
        .answer(
            "another one is taken with --demo",
            true,
            &format!("{APPID}\n"),
        )
        .await;
    terminal
        .answer("URL at which mini programs reach wxmint", true, "\n")
        .await;
    terminal
        .answer("WXMINT_ISSUER is not set", true, &format!(" {ISSUER} \n"))
        .await;
    terminal
        .answer("URL of Redis", true, &format!("{REDIS}\n"))
        .await;
    terminal
        .answer("AppSecret of the mini program", false, "short\n")
        .await;
    terminal
        .answer(
            "WXMINT_APP_SECRET is not valid",
            false,
            &format!("{APP_SECRET}\n"),
        )
        .await;
    let (code, shown) = terminal.end("  wxmint serve").await;
    assert!(
        code == Some(0) && !shown.contains(APP_SECRET) && !shown.contains("short"),
        "{shown}"
    );
    let files = "WXMINT_KEYS=keys.json\nWXMINT_VAULT_KEY_FILE=vault.key\nWXMINT_ID_KEY_FILE=id.key";
    let expected =
        format!("WXMINT_ISSUER={ISSUER}\nWXMINT_APPS_DIR=apps\nWXMINT_REDIS_URL={REDIS}\n{files}");
    assert_eq!(set_in_env(place.path()).join("\n"), expected);
}

#[tokio::test]
async fn a_signal_ctrl_c_or_ctrl_d_at_a_question_leaves_no_file_and_a_terminal_that_shows_what_is_typed()
 {
    let init = [
        "init",
        "--appid",
        APPID,
        "--issuer",
        ISSUER,
        "--redis-url",
        REDIS,
    ];
    let add = ["users", "add", "lin", "--users", "users.txt"];
    for (words, question) in [
        (&init[..], "AppSecret of the mini program"),
        (&add[..], "Password of lin"),
    ] {
        for (signal, code) in [(Signal::TERM, 143), (Signal::HUP, 129)] {
            let place = folder();
            write_private(&place.path().join("users.txt"), "");
            let mut terminal = Terminal::of(words, place.path());
            terminal.answer(question, false, "half").await;
            terminal.signal(signal);
            let (ended, shown) = terminal.end(question).await;
            assert_eq!((ended, terminal.shows()), (Some(code), true), "{shown}");
            assert_eq!(
                fs::read(place.path().join("users.txt")).expect("a file"),
                b""
            );
        }
    }
    for (key, at_shown) in [("\x03", None), ("\x04", Some(1))] {
        let place = folder();
        let mut terminal = Terminal::of(&["init"], place.path());
        terminal
            .answer("AppID of the mini program", true, key)
            .await;
        assert_eq!(terminal.end("AppID").await.0, at_shown);
        let mut terminal = Terminal::of(&init, place.path());
        terminal
            .answer(
                "AppSecret of the mini program",
                false,
                &format!("half{key}"),
            )
            .await;
        if key == "\x04" {
            // With letters before it, Ctrl-D is nothing.
            terminal.answer("AppSecret", false, "\x15\x04").await;
        }
        let (code, shown) = terminal.end("nothing was written").await;
        assert_eq!((code, terminal.shows()), (Some(1), true), "{shown}");
        assert_eq!(names(place.path()), [""; 0]);
    }
}

#[tokio::test]
async fn in_a_chinese_locale_it_asks_and_writes_in_chinese() {
    let place = folder();
    let mut terminal = Terminal::of(&["init", "--lang", "zh"], place.path());
    terminal
        .answer("小程序的 AppID", true, &format!("{APPID}\n"))
        .await;
    terminal
        .answer("小程序访问 wxmint 的 URL", true, "nonsense\n")
        .await;
    terminal
        .answer(
            "WXMINT_ISSUER 不是 URL；应以 https:// 和主机名开头",
            true,
            &format!("{ISSUER}\n"),
        )
        .await;
    terminal
        .answer("Redis 的地址", true, &format!("{REDIS}\n"))
        .await;
    terminal
        .answer(
            "小程序的 AppSecret（输入时不显示）",
            false,
            &format!("{APP_SECRET}\n"),
        )
        .await;
    let (code, shown) = terminal.end("  wxmint serve").await;
    assert!(code == Some(0) && shown.contains("请另外备份"), "{shown}");
    let written = |folder: &Path| fs::read_to_string(folder.join(".env")).expect("a file");
    let (english, chinese) = (folder(), written(place.path()));
    made(
        init_with_secret(english.path())
            .env("LANG", "zh_CN.UTF-8")
            .args(["--lang", "en"]),
        "",
    );
    assert!(
        written(english.path()).starts_with("# The settings"),
        "{}",
        written(english.path())
    );
    assert!(chinese.starts_with("# wxmint 的配置"), "{chinese}");
    assert_eq!(set_in_env(place.path()).len(), 6);
    let mut again = init_with_secret(place.path());
    let chinese =
        "没有写入任何文件，因为当前目录里已有：keys.json, vault.key, id.key, apps, .env。";
    refused(again.env("LC_MESSAGES", "zh_CN.UTF-8"), 64, chinese);
    refused(
        again.env("LC_ALL", "C.UTF-8"),
        64,
        "nothing was written, because",
    );
}

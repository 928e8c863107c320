//! `.env` in the working directory: what it sets, what wins over it, and what is said of a bad one.

use std::os::unix::fs::{lchown, symlink};

use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::geteuid;

use crate::memory::without_rights;
use crate::support::prelude::*;

/// A configuration whose settings are in `.env`, and the command in its folder.
fn in_file(configuration: &Configuration, further: &str, words: &[&str]) -> Command {
    write_private(
        &configuration.path(".env"),
        &(configuration.lines() + further),
    );
    wxmint_in(configuration.path(""), words)
}

/// The warnings of a `wxmint serve` before it listens.
async fn warnings(command: &mut Command) -> Vec<String> {
    let mut service = Process::spawn("wxmint serve", command);
    service.listens(["public"]).await;
    let before = service
        .events()
        .into_iter()
        .take_while(|event| event["message"] != "listening");
    before
        .map(|event| event["message"].as_str().unwrap_or_default().to_owned())
        .collect()
}

#[tokio::test]
async fn the_environment_wins_over_the_file_and_an_empty_variable_too() {
    let further = "WXMINT_TOKEN_TTL=soon\nWXMINT_LOG_FORMAT=text\nRUST_LOG=off\nWXMINT_ISUER=x\n\
                   WXMINT_APP_SECRET_FILE=none\nexport OTEL_TRACES_SAMPLER=never\n";
    let configuration = Configuration::new("ES256");
    let mut command = in_file(&configuration, further, &["serve"]);
    let faults = [
        "WXMINT_TOKEN_TTL is not valid",
        "WXMINT_APP_SECRET_FILE are both set",
        "OTEL_TRACES_SAMPLER is not valid",
    ];
    Ended::of(&mut command, "").expect_end(64, &faults);
    // The AppSecret of the environment replaces both forms of the file.
    command
        .env("WXMINT_TOKEN_TTL", "")
        .env("WXMINT_LOG_FORMAT", "json")
        .env("RUST_LOG", "");
    command
        .env(
            "WXMINT_APP_SECRET",
            configuration.value("WXMINT_APP_SECRET"),
        )
        .env("OTEL_TRACES_SAMPLER", "always_off");
    assert_eq!(
        warnings(&mut command).await,
        ["WXMINT_ISUER: unknown variable; did you mean WXMINT_ISSUER?"]
    );
    // The level of the log is the file's.
    let mut service = Process::spawn(
        "wxmint serve",
        command
            .env_remove("RUST_LOG")
            .env("WXMINT_TOKEN_TTL", "never"),
    );
    service.end(PATIENCE).await;
    let mut sidecar = wxmint_in(configuration.path(""), &["sidecar"]);
    let sidecar = said(&sidecar.output().expect("wxmint runs"));
    assert!(
        sidecar.contains("WXMINT_JWKS_URL is not set") && !sidecar.contains("WXMINT_ISSUER is"),
        "{sidecar}"
    );
}

/// Whoever has told `wxmint init` the mini program by variables may have them set still.
#[tokio::test]
async fn one_mini_program_of_the_environment_replaces_the_folder_of_the_file_and_the_reverse() {
    let mut configuration = Configuration::new("ES256");
    let folder = apps_folder(&[(OTHER_APPID, OTHER_SECRET)]);
    let folder = folder.path().to_str().expect("UTF-8");
    let apps = async |command: &mut Command| {
        let service = Process::spawn("wxmint serve", command);
        let listening: Value =
            serde_json::from_str(&service.says("\"listening\"").await).expect("JSON");
        listening["apps"].as_str().expect("names").to_owned()
    };
    let mut command = in_file(&configuration, "", &["serve"]);
    assert_eq!(apps(&mut command).await, APPID);
    assert_eq!(
        apps(command.env("WXMINT_APPS_DIR", folder)).await,
        OTHER_APPID
    );
    fs::remove_file(configuration.path(".env")).expect("our file");
    for name in ["WXMINT_APPID", "WXMINT_APP_SECRET"] {
        configuration.set(name, "");
    }
    let mut command = in_file(
        &configuration,
        &format!("WXMINT_APPS_DIR={folder}\n"),
        &["serve"],
    );
    let refused = said(
        &command
            .env("WXMINT_APP_SECRET", APP_SECRET)
            .output()
            .expect("wxmint runs"),
    );
    assert!(
        refused.contains(
            "WXMINT_APPS_DIR is set beside WXMINT_APPID or WXMINT_APP_SECRET; unset these"
        ),
        "{refused}"
    );
    assert_eq!(apps(command.env("WXMINT_APPID", APPID)).await, APPID);
    assert_eq!(
        apps(
            command
                .env_remove("WXMINT_APPID")
                .env_remove("WXMINT_APP_SECRET")
        )
        .await,
        OTHER_APPID
    );
}

#[test]
fn every_command_that_reads_settings_reads_the_file() {
    let configuration = Configuration::new("ES256");
    let folder = configuration.path("");
    in_file(&configuration, "WXMINT_ACCOUNTS=file:users.txt\n", &[]);
    for (words, sentence) in [
        (&["keys", "list"][..], "signing"),
        (&["vault", "rotate"], "line 1 is a new key"),
        (&["users", "list"], "users.txt: No such file"),
        (&["users", "show", "u-1"], "127.0.0.1:1"),
        (&["bindings", "export"], "127.0.0.1:1"),
        (&["doctor"], "redis.reach"),
        (&["ready"], "not ready"),
    ] {
        let all = said(&wxmint_in(&folder, words).output().expect("wxmint runs"));
        assert!(all.contains(sentence), "{words:?}: {all}");
    }
    let below = folder.join("below");
    fs::create_dir(&below).expect("a folder");
    Ended::of(&mut wxmint_in(&below, &["keys", "list"]), "").expect_end(64, &["WXMINT_KEYS"]);
}

#[tokio::test]
async fn a_file_that_cannot_be_used_is_told_with_the_line_and_without_a_value() {
    type Make = fn(&Path);
    let makes: [(Make, &str); 4] = [
        (
            |path| write_private(path, "A=b\nWXMINT_KEYS=hunter2 hunter3\n"),
            ".env, line 2: is not NAME=value",
        ),
        (
            |path| write_private(path, &"#".repeat(300_000)),
            ".env is not a regular file of at most 256 KiB",
        ),
        (
            |path| mknodat(CWD, path, FileType::Fifo, Mode::RWXU, 0).expect("a pipe"),
            ".env is not a regular file",
        ),
        (
            |path| symlink("nowhere", path).expect("a link"),
            ".env No such file",
        ),
    ];
    for (make, sentence) in makes {
        let configuration = Configuration::new("ES256");
        make(&configuration.path(".env"));
        for (words, code) in [(&["serve"][..], 64), (&["doctor"], 2)] {
            let mut command = configuration.command_of(words);
            let ended = Ended::of(command.current_dir(configuration.path("")), "")
                .expect_end(code, &[sentence]);
            assert!(!ended.said().contains("hunter"), "{words:?}: {ended:?}");
        }
        // These commands read no settings.
        for words in [
            &["man"][..],
            &["init", "--demo", "--dir", "new"],
            &["--help"],
        ] {
            Ended::of(&mut wxmint_in(configuration.path(""), words), "").expect_success();
        }
    }
}

#[tokio::test]
async fn a_file_that_others_can_read_or_change_is_warned_about_where_it_matters() {
    let modes = [
        (0o644, true, true),
        (0o644, false, false),
        (0o620, false, true),
        (0o600, true, false),
    ];
    for (mode, has_secret, is_warned) in modes {
        let configuration = Configuration::new("ES256");
        let file = configuration.path(".env");
        fs::write(
            &file,
            if has_secret {
                "WXMINT_APP_SECRET=x\n"
            } else {
                "A=b\n"
            },
        )
        .expect("written");
        set_mode(&file, mode);
        let sentence = format!("others can read or change .env (mode {mode:04o}); chmod 600 .env");
        let warnings = warnings(configuration.command().current_dir(configuration.path(""))).await;
        assert_eq!(
            warnings.len(),
            usize::from(is_warned),
            "{mode:o} {has_secret}: {warnings:?}"
        );
        assert!(
            warnings
                .iter()
                .all(|warning| warning.starts_with(&sentence)),
            "{warnings:?}"
        );
        let keys = configuration
            .command_of(&["keys", "list"])
            .current_dir(configuration.path(""))
            .output();
        assert_eq!(
            said(&keys.expect("wxmint runs")).contains(&sentence),
            is_warned
        );
    }
}

/// In `/tmp`, his `.env` would have root's command send the environment's AppSecret to him.
#[tokio::test]
async fn a_file_or_link_of_another_user_is_not_used() {
    let configuration = Configuration::new("ES256");
    let file = configuration.path(".env");
    write_private(&configuration.path("own"), "WXMINT_TOKEN_TTL=soon\n");
    for is_link in [true, false] {
        _ = fs::remove_file(&file);
        let mut command = match geteuid().is_root() {
            true => {
                let made = if is_link {
                    symlink("own", &file)
                } else {
                    fs::write(&file, "WXMINT_TOKEN_TTL=soon\n")
                };
                made.and_then(|()| lchown(&file, Some(65_534), None))
                    .expect("root may");
                configuration.command()
            }
            // A user who is not root cannot give a file away. In a namespace of their own, root is another user.
            false => {
                symlink("/etc/passwd", &file).expect("a link");
                let mut command = Command::new("unshare");
                command
                    .args(["--user", "--map-root-user"])
                    .arg(wxmint().get_program())
                    .arg("serve");
                command.envs(
                    configuration
                        .command()
                        .get_envs()
                        .filter_map(|(name, value)| Some((name, value?))),
                );
                command
            }
        };
        let sentence = ".env in the working directory is not used: it belongs to uid 65534, who is neither you nor root";
        let warnings = warnings(command.current_dir(configuration.path(""))).await;
        assert_eq!(warnings, [format!("{sentence}; chown it if it is yours")]);
    }
}

/// systemd reads an `EnvironmentFile=` as root.
#[tokio::test]
async fn a_file_that_wxmint_may_not_read_is_passed_over_with_a_warning() {
    let configuration = Configuration::new("ES256");
    write_private(&configuration.path(".env"), "WXMINT_TOKEN_TTL=soon\n");
    set_mode(configuration.path(".env"), 0o000);
    let mut command = without_rights(&configuration.command());
    command.current_dir(configuration.path(""));
    let sentence = ".env in the working directory is not used: Permission denied (os error 13); chown it if it is yours";
    assert_eq!(warnings(&mut command).await, [sentence]);
    Ended::of(command.env_remove("WXMINT_ISSUER"), "").expect_end(64, &[sentence]);
}

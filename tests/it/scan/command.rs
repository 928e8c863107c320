//! `wxmint clients`, as an operator runs it.

use std::os::unix::fs::PermissionsExt;

use super::*;

fn command(file: &Path, words: &[&str]) -> Command {
    let mut command = wxmint();
    command
        .arg("clients")
        .args(words)
        .arg("--file")
        .arg(file)
        .env_clear();
    command
}

/// `wxmint serve` takes what the command makes: a back end by its secret, and a page of its site.
#[tokio::test]
async fn clients_that_the_command_adds_may_ask() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("clients.json");
    let add = |id: &str, more: &[&str]| {
        let words = [
            &["add", id, "--name", "晨光商城", "--appid", APPID][..],
            more,
        ]
        .concat();
        Ended::of(&mut command(&file, &words), "").expect_success()
    };
    let back_end = add("shop", &["--page", "pages/scan/index"]);
    assert!(
        !add("shop-web", &["--origin", ORIGIN])
            .stdout
            .contains("client_secret")
    );
    add(
        "grafana",
        &[
            "--redirect-uri",
            "https://grafana.example.com/cb",
            "--refresh",
            "30d",
        ],
    );
    assert!(!add("cli.1", &["--public"]).stdout.contains("client_secret"));
    let secret = back_end
        .stdout
        .lines()
        .find_map(|line| line.strip_prefix("client_secret: "))
        .expect("a secret");
    let written = fs::read_to_string(&file).expect("the file");
    assert!(secret.len() == 43 && !written.contains(secret), "{written}");
    assert_eq!(
        fs::metadata(&file).expect("the file").permissions().mode() & 0o077,
        0,
        "it is private"
    );
    let listed = Ended::of(&mut command(&file, &["list"]), "")
        .expect_success()
        .stdout;
    for member in ["\"refresh\": \"30d\"", "https://grafana.example.com/cb"] {
        assert!(written.contains(member), "{written}");
    }
    for word in ["shop-web", "cli.1", "晨光商城", ORIGIN, "back end"] {
        assert!(listed.contains(word), "{listed}");
    }

    let path = file.to_string_lossy();
    let bed = TestBed::builder()
        .env("WXMINT_CLIENTS_FILE", &path)
        .start()
        .await;
    let asked = bed
        .form(
            "/device_authorization",
            &[("client_id", "shop"), ("client_secret", secret)],
        )
        .await;
    assert_eq!(asked.status, 200, "{asked:?}");
    bed.let_in("cli.1", "lin").await;
    Ended::of(
        &mut bed.configuration.command_of(&["clients", "end", APPID]),
        "",
    )
    .expect_end(64, &["this is an AppID"]);
}

#[test]
fn a_mistake_changes_nothing_and_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("clients.json");
    let good = ["add", "shop", "--name", "Shop", "--appid", APPID];
    Ended::of(&mut command(&file, &good), "").expect_success();
    let before = fs::read(&file).expect("the file");
    // src/doors/scan/clients.rs has a row for each mistake.
    for (words, said) in [
        (
            &good[..],
            "line 10: client shop: `client_id` is that of an earlier client",
        ),
        (
            &[
                "add",
                "tv",
                "--name",
                "TV",
                "--appid",
                APPID,
                "--origin",
                "shop.example.com",
            ],
            "`origins` must be",
        ),
    ] {
        Ended::of(&mut command(&file, words), "").expect_end(64, &[said]);
        assert_eq!(fs::read(&file).expect("the file"), before, "{words:?}");
    }
    fs::write(&file, "{\"clients\":[{\"client_id\":1}]}").expect("written");
    Ended::of(&mut command(&file, &["list"]), "").expect_end(64, &["clients.json", "line 1"]);
    let mut nowhere = wxmint();
    Ended::of(nowhere.args(["clients", "list"]).env_clear(), "")
        .expect_end(64, &["--file clients.json"]);
}

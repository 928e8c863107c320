//! Faults of the files that the settings name.

use super::{ADMIN_SECRET, NAMES, Report, follow, healthy};
use crate::support::prelude::*;
use crate::support::scan::two_pages;

/// Changes the first key of the key file.
fn change_key(configuration: &Configuration, change: impl FnOnce(&mut Value)) {
    let path = configuration.value("WXMINT_KEYS");
    let mut keys: Value = serde_json::from_slice(&fs::read(path).expect("our file")).expect("JSON");
    change(&mut keys["keys"][0]);
    fs::write(path, keys.to_string()).expect("written");
}

/// Has the key sign from so many seconds after it was made on.
pub(super) fn date_keys(configuration: &Configuration, later: i64) {
    change_key(configuration, |key| {
        key["nbf"] = (key["nbf"].as_i64().expect("seconds") + later).into();
    });
}

#[tokio::test]
async fn files_that_others_can_read_or_that_are_missing_are_mended_by_the_commands_of_the_advice() {
    let mut bed = healthy().await;
    let tokens = bed.configuration.path("tokens");
    write_private(&tokens, &format!("alice {ADMIN_SECRET}\n"));
    bed.configuration
        .set("WXMINT_ADMIN_TOKENS_FILE", &tokens.to_string_lossy());
    for name in [
        "WXMINT_KEYS",
        "WXMINT_VAULT_KEY_FILE",
        "WXMINT_ADMIN_TOKENS_FILE",
    ] {
        set_mode(bed.configuration.value(name), 0o644);
        let report = Report::of(&bed.configuration).await;
        assert!(
            report.worst("keys")[1].contains("not checked"),
            "{}",
            report.output
        );
        follow(&report.advice("files", "fault", &format!("{name}: ")));
    }
    for name in ["WXMINT_KEYS", "WXMINT_VAULT_KEY_FILE"] {
        fs::remove_file(bed.configuration.value(name)).expect("it was there");
        follow(
            &Report::of(&bed.configuration)
                .await
                .advice("files", "fault", "No such file"),
        );
    }
    let (users, audit) = (
        bed.configuration.path("users"),
        bed.configuration.path("nowhere/audit"),
    );
    bed.configuration
        .set("WXMINT_ACCOUNTS", &format!("file:{}", users.display()));
    let advice = Report::of(&bed.configuration)
        .await
        .advice("files", "fault", "WXMINT_ACCOUNTS: ");
    follow(
        &advice
            .replace(
                "with: wxmint",
                "with: echo a-password-of-some-length | wxmint",
            )
            .replace("NAME", "alice"),
    );
    bed.configuration
        .set("WXMINT_AUDIT", &format!("file:{}", audit.display()));
    Report::of(&bed.configuration)
        .await
        .advice("files", "fault", "WXMINT_AUDIT: ");
    set_mode(bed.configuration.value("WXMINT_KEYS"), 0o644);
    let serve = Ended::within_patience(&mut bed.configuration.command_of(&["serve"])).await;
    serve.expect_end(64, &["WXMINT_KEYS: ", "WXMINT_AUDIT: "]);
    set_mode(bed.configuration.value("WXMINT_KEYS"), 0o600);
    fs::create_dir(bed.configuration.path("nowhere")).expect("a folder");
    let report = Report::of(&bed.configuration).await;
    report.expect_healthy();
    assert_eq!(
        (report.worst("accounts")[1], audit.exists()),
        ("1 user names", false)
    );
}

#[tokio::test]
async fn keys_that_cannot_sign_or_have_signed_for_a_year_are_mended_by_the_commands_of_the_advice()
{
    let bed = healthy().await;
    let path = bed.configuration.value("WXMINT_KEYS");
    type Spoil = fn(&mut Value);
    let spoils: [(&str, Spoil); 2] = [
        ("`d` is missing", |key| key["d"] = Value::Null),
        ("has expired", |key| {
            (key["nbf"], key["exp"]) = (1000.into(), 2000.into());
        }),
    ];
    for (words, spoil) in spoils {
        change_key(&bed.configuration, spoil);
        let advice = Report::of(&bed.configuration)
            .await
            .advice("keys", "fault", words);
        assert!(advice.contains("move the file away"), "{advice}");
        fs::rename(path, format!("{path}.away")).expect("moved");
        follow(&advice);
    }
    date_keys(&bed.configuration, 3600);
    let advice =
        Report::of(&bed.configuration)
            .await
            .advice("keys", "fault", "no key may sign yet");
    assert!(advice.contains("clock"), "{advice}");
    date_keys(&bed.configuration, -3600 - 364 * 86_400);
    Report::of(&bed.configuration).await.expect_healthy();
    date_keys(&bed.configuration, -2 * 86_400);
    follow(&Report::of(&bed.configuration).await.advice(
        "keys",
        "warning",
        "has signed for 366 days",
    ));
    Report::of(&bed.configuration).await.expect_healthy();
}

#[tokio::test]
async fn a_key_that_leaves_the_jwks_before_its_last_token_is_kept_by_the_command_of_the_advice() {
    let mut bed = healthy().await;
    let path = PathBuf::from(bed.configuration.value("WXMINT_KEYS"));
    let kid = kids_of(&serde_json::from_str(&keys(&path, &["jwks"])).expect("JSON")).remove(0);
    keys(&path, &["rotate", "--alg", "EdDSA", "--token-ttl", "1m"]);
    let early = format!("{kid} leaves the JWKS at 20");
    follow(
        &Report::of(&bed.configuration)
            .await
            .advice("keys", "warning", &early),
    );
    Report::of(&bed.configuration).await.expect_healthy();
    bed.configuration.set("WXMINT_TOKEN_TTL", "25h");
    Report::of(&bed.configuration).await.advice(
        "keys",
        "warning",
        "before its last token of 90000 s expires",
    );
    bed.configuration.set("WXMINT_TOKEN_TTL", "23h");
    Report::of(&bed.configuration).await.expect_healthy();
}

#[tokio::test]
async fn files_of_wechats_secrets_and_of_urls_that_everybody_can_read_are_named() {
    let mut bed = TestBed::builder().services(0).two_apps().start().await;
    let apps = Path::new(bed.configuration.value("WXMINT_APPS_DIR")).to_owned();
    for id in [APPID, OTHER_APPID] {
        set_mode(apps.join(id), 0o640);
    }
    Report::of(&bed.configuration).await.expect_healthy();
    set_mode(apps.join(OTHER_APPID), 0o644);
    let exposed = "WXMINT_APPS_DIR: everybody can read 1 file with an AppSecret";
    follow(
        &Report::of(&bed.configuration)
            .await
            .advice("files", "warning", exposed),
    );
    Report::of(&bed.configuration).await.expect_healthy();

    let copy = apps.join(format!("{APPID}~"));
    fs::write(&copy, "half").expect("written");
    set_mode(&copy, 0o600);
    let ignored = format!(
        "{} is ignored, because its name is that of a copy which an editor has left",
        copy.display()
    );
    assert!(
        Report::of(&bed.configuration)
            .await
            .advice("files", "warning", &ignored)
            .contains("remove it")
    );
    fs::write(apps.join("notes"), "x").expect("written");
    let report = Report::of(&bed.configuration).await;
    assert_eq!(
        report
            .advice("files", "fault", "notes must hold the AppSecret")
            .matches("AppSecret")
            .count(),
        1
    );
    for path in [copy, apps.join("notes")] {
        fs::remove_file(path).expect("removed");
    }

    for (name, value) in [
        ("WXMINT_APP_SECRET", APP_SECRET.to_owned()),
        ("WXMINT_REDIS_URL", bed.redis.url()),
    ] {
        let path = bed.configuration.path(name).to_string_lossy().into_owned();
        fs::write(&path, value).expect("written");
        set_mode(&path, 0o644);
        if name == "WXMINT_APP_SECRET" {
            bed.configuration.unset("WXMINT_APPS_DIR");
            bed.configuration.set("WXMINT_APPID", APPID);
        }
        bed.configuration.unset(name);
        bed.configuration.set(&format!("{name}_FILE"), &path);
        follow(&Report::of(&bed.configuration).await.advice(
            "files",
            "warning",
            &format!("{name}_FILE: {path}"),
        ));
        Report::of(&bed.configuration).await.expect_healthy();
    }
}

#[tokio::test]
async fn a_vault_key_that_is_spoilt_or_another_is_mended_as_the_advice_says() {
    let bed = healthy().await;
    let service = bed.another().await;
    service
        .login(&bed.mint_code("lin").await)
        .await
        .expect_login();
    let session_key = bed.wechat.account("lin").await["session_key"]
        .as_str()
        .expect("a key")
        .to_owned();
    drop(service);
    let path = bed.configuration.value("WXMINT_VAULT_KEY_FILE");
    let right = fs::read_to_string(path).expect("our file");
    Report::of(&bed.configuration).await.expect_healthy();

    let spoilt = right.replacen(&right[..4], "****", 1);
    fs::write(path, &spoilt).expect("written");
    let report = Report::of(&bed.configuration).await;
    let advice = report.advice("vault", "fault", "line 1 must be base64");
    assert!(
        !report.output.contains(&spoilt) && advice.contains("`openssl rand -base64 32`"),
        "{}",
        report.output
    );

    // Another key seals, and opens nothing of before.
    fs::remove_file(path).expect("it was there");
    follow(&format!("run: umask 077; openssl rand -base64 32 > {path}"));
    let other = fs::read_to_string(path).expect("our file");
    let report = Report::of(&bed.configuration).await;
    let advice = report.advice(
        "vault",
        "warning",
        "1 of 1 session keys tried in Redis do not open",
    );
    assert!(
        advice.contains(path)
            && advice.contains("last line")
            && !report.output.contains(&session_key),
        "{advice}"
    );
    fs::write(path, format!("{other}{right}")).expect("written");
    Report::of(&bed.configuration).await.expect_healthy();
}

/// The file of clients, in place of the one before.
fn put_clients(configuration: &mut Configuration, clients: &Value) {
    let path = configuration.path("clients.json");
    replace(&path, &json!({"clients": clients}).to_string());
    configuration.set("WXMINT_CLIENTS_FILE", &path.to_string_lossy());
}

#[tokio::test]
async fn clients_are_counted_and_what_their_file_cannot_have_or_gives_up_is_named() {
    let mut bed = healthy().await;
    put_clients(&mut bed.configuration, &two_pages());
    let report = Report::of(&bed.configuration).await;
    report.expect_healthy();
    assert_eq!(
        report.worst("clients")[..2],
        ["ok", "2 clients may ask for a scan"]
    );
    assert!(
        report.worst("files")[1].contains("clients.json"),
        "{}",
        report.output
    );
    let names = [&NAMES[..5], &["clients"], &NAMES[5..]].concat();
    assert_eq!(report.names(), names);

    for (member, value, words, cure) in [
        (
            "appid",
            json!(OTHER_APPID),
            "shop-web, wxfedcba9876543210, is no mini program",
            "AppSecret",
        ),
        (
            "match",
            json!(false),
            "shop-web has `match` false",
            "leave `match` out",
        ),
        (
            "web_apps",
            json!([OTHER_APPID]),
            "shop-web has wxfedcba9876543210 among",
            "WXMINT_APPS_DIR",
        ),
    ] {
        let mut clients = two_pages();
        clients[0][member] = value;
        put_clients(&mut bed.configuration, &clients);
        let report = Report::of(&bed.configuration).await;
        assert!(
            report.advice("clients", "warning", words).contains(cure),
            "{}",
            report.output
        );
        // Each door that reads the file has its own.
        let mut found = report.names();
        found.dedup();
        assert_eq!((report.code, found), (1, names.clone()));
    }
    // Nobody answers on this port.
    let away = json!({"client_id": "k8s", "name": "K", "appid": APPID, "issuer": "http://127.0.0.1:9", "subject": "a"});
    put_clients(&mut bed.configuration, &json!([away]));
    let report = Report::of(&bed.configuration).await;
    let words = "the keys of http://127.0.0.1:9 cannot be had";
    report.advice("clients", "warning", words);
    put_clients(&mut bed.configuration, &two_pages());
    let folder = bed.configuration.path("checks");
    bed.configuration
        .set("WXMINT_VERIFY_FILES_DIR", &folder.to_string_lossy());
    Report::of(&bed.configuration)
        .await
        .advice("settings", "warning", "checks is not a folder");
    fs::create_dir(folder).expect("a folder");
    Report::of(&bed.configuration).await.expect_healthy();
    cannot_use_clients(&mut bed).await;
}

/// One fault, in the words of serve.
async fn cannot_use_clients(bed: &mut TestBed) {
    let mut spoilt = two_pages();
    spoilt[1]["pages"] = "pages/scan/index".into();
    put_clients(&mut bed.configuration, &spoilt);
    let report = Report::of(&bed.configuration).await;
    assert_eq!(
        report.advice("clients", "fault", "unknown field `pages`"),
        "correct the file"
    );
    assert_eq!(
        (
            report.code,
            report
                .names()
                .iter()
                .filter(|name| **name == "clients")
                .count()
        ),
        (2, 1)
    );
    assert_eq!(
        ["files", "keys", "vault"].map(|name| report.status(name)),
        ["warning"; 3],
        "not checked"
    );
    let said = bed.configuration.refused().await;
    assert!(said.contains(report.worst("clients")[1]), "{said}");

    set_mode(bed.configuration.path("clients.json"), 0o644);
    let report = Report::of(&bed.configuration).await;
    follow(&report.advice("files", "fault", "WXMINT_CLIENTS_FILE: "));
    assert!(
        report.worst("clients")[1].contains("not checked"),
        "{}",
        report.output
    );
}

//! Many mini programs: which one a login means, and folders of AppSecrets that change while `wxmint serve` runs.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    time::Duration,
};

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::{
    APP_SECRET, APPID, Answer, BUSY, Configuration, Load, OTHER_APPID, OTHER_SECRET, PATIENCE, TestBed, apps_folder,
    eventually, until,
};

const ROTATED: &str = "b0b1b2b3b4b5b6b7b8b9babbbcbdbebf";
/// docs/operation.md: "reads the folder again within 5 s of a change".
const WITHIN: Duration = BUSY.saturating_add(Duration::from_secs(5));
/// Logins under load that are answered after a change, so that none is in flight that began before it.
const AFTERWARDS: usize = 50;

/// Writes beside the file, and renames.
fn put(path: &Path, secret: &str) {
    let beside = path.with_file_name(".new");
    fs::write(&beside, format!("{secret}\n")).expect("written");
    fs::rename(beside, path).expect("renamed");
}

/// A service with these apps, and a WeChat that knows both.
async fn bed_with(folder: &Path) -> TestBed {
    TestBed::builder().app(OTHER_APPID, OTHER_SECRET).apps_folder(folder).start().await
}

async fn ask(bed: &TestBed, body: &Value, referer: Option<&str>) -> Answer {
    let request = bed.http.0.post(bed.service().url("/login")).json(body);
    let request = match referer {
        Some(referer) => request.header("referer", referer),
        None => request,
    };
    bed.http.send(request).await
}

async fn code_of(bed: &TestBed, appid: &str) -> String {
    bed.wechat.mint_code_in(appid, "lin").await
}

fn referer_of(appid: &str) -> String {
    format!("https://servicewechat.com/{appid}/devtools/page-frame.html")
}

fn app_of(answer: Answer) -> String {
    answer.claims()["client_id"].as_str().expect("client_id").to_owned()
}

#[tokio::test]
async fn an_app_is_chosen_by_the_body_and_else_by_the_referer() {
    let folder = apps_folder(&[(APPID, APP_SECRET), (OTHER_APPID, OTHER_SECRET)]);
    let bed = bed_with(folder.path()).await;
    for appid in [APPID, OTHER_APPID] {
        let named = json!({"code": code_of(&bed, appid).await, "appid": appid});
        assert_eq!(app_of(ask(&bed, &named, None).await), appid);
        let hinted = json!({"code": code_of(&bed, appid).await});
        assert_eq!(app_of(ask(&bed, &hinted, Some(&referer_of(appid))).await), appid);
    }
    let body = json!({"code": code_of(&bed, OTHER_APPID).await, "appid": OTHER_APPID});
    assert_eq!(app_of(ask(&bed, &body, Some(&referer_of(APPID))).await), OTHER_APPID, "the body has the last word");
    let query = format!("/login?code={}&appid={OTHER_APPID}", code_of(&bed, OTHER_APPID).await);
    assert_eq!(app_of(bed.service().get(&query).await), OTHER_APPID);
}

#[tokio::test]
async fn a_forged_referer_opens_nothing_and_a_foreign_one_is_none() {
    let folder = apps_folder(&[(APPID, APP_SECRET), (OTHER_APPID, OTHER_SECRET)]);
    let bed = bed_with(folder.path()).await;
    // The wrong app's AppSecret does not exchange the code.
    let forged = ask(&bed, &json!({"code": code_of(&bed, APPID).await}), Some(&referer_of(OTHER_APPID))).await;
    forged.expect_problem(400, "code_invalid");
    let asked = bed.wechat.exchanges().await;
    for foreign in [
        referer_of("wx0000000000000000"),
        referer_of(OTHER_APPID).replace("https", "http"),
        referer_of(OTHER_APPID).replace(".com/", ".com.example/"),
        format!("{}?", referer_of(OTHER_APPID)),
        "https://login.example.com/page".to_owned(),
    ] {
        let refused = ask(&bed, &json!({"code": code_of(&bed, OTHER_APPID).await}), Some(&foreign)).await;
        let refused = refused.expect_problem(400, "unknown_app");
        assert!(refused.member("detail").contains("Several mini programs"), "{foreign}: {refused:?}");
    }
    assert_eq!(bed.wechat.exchanges().await, asked, "a login of no app asks WeChat nothing");
}

#[tokio::test]
async fn who_names_no_app_or_an_unknown_one_is_told_which_it_is() {
    let folder = apps_folder(&[(APPID, APP_SECRET), (OTHER_APPID, OTHER_SECRET)]);
    let bed = bed_with(folder.path()).await;
    let code = code_of(&bed, APPID).await;
    for (body, detail) in [
        (
            json!({"code": code, "appid": "wx0000000000000000"}),
            "`appid` names a mini program that is not configured here.",
        ),
        (json!({"code": code}), "Several mini programs are configured here: name one in `appid`."),
    ] {
        let refused = ask(&bed, &body, None).await.expect_problem(400, "unknown_app");
        assert_eq!(refused.member("detail"), detail);
    }
    ask(&bed, &json!({"code": code, "appid": APPID}), None).await.expect_login();
}

#[tokio::test]
async fn the_only_app_needs_no_name_whatever_the_referer_says() {
    let folder = apps_folder(&[(OTHER_APPID, OTHER_SECRET)]);
    let bed = bed_with(folder.path()).await;
    for referer in [None, Some(referer_of(APPID)), Some(referer_of(OTHER_APPID))] {
        let answer = ask(&bed, &json!({"code": code_of(&bed, OTHER_APPID).await}), referer.as_deref()).await;
        assert_eq!(app_of(answer), OTHER_APPID, "{referer:?}");
    }
}

#[tokio::test]
async fn an_app_comes_and_goes_within_5_s_while_the_other_goes_on() {
    let folder = apps_folder(&[(APPID, APP_SECRET)]);
    let bed = bed_with(folder.path()).await;
    let code = json!({"code": code_of(&bed, OTHER_APPID).await, "appid": OTHER_APPID});
    ask(&bed, &code, None).await.expect_problem(400, "unknown_app");

    put(&folder.path().join(OTHER_APPID), OTHER_SECRET);
    let added = async || Some(ask(&bed, &code, None).await).filter(|answer| answer.status != 400);
    assert_eq!(app_of(eventually("the new app", WITHIN, added).await), OTHER_APPID);
    ask(&bed, &json!({"code": code_of(&bed, APPID).await, "appid": APPID}), None).await.expect_login();

    fs::remove_file(folder.path().join(OTHER_APPID)).expect("removed");
    let removed = async || {
        let code = json!({"code": code_of(&bed, OTHER_APPID).await, "appid": OTHER_APPID});
        Some(ask(&bed, &code, None).await).filter(|answer| answer.status != 200)
    };
    eventually("the app's end", WITHIN, removed).await.expect_problem(400, "unknown_app");
    bed.log_in("lin").await.expect_login();
    assert_eq!(bed.service().reasons("ERROR"), [""; 0], "an app that goes is no fault");
}

/// The AppSecret in use changes without a failed login: WeChat takes both for a while, then the new one alone.
async fn rotated_under_load(bed: TestBed, replace: impl FnOnce()) {
    let load = Load::start(&bed).await;
    answered(&load, AFTERWARDS).await;
    bed.wechat.change_app(json!({"appid": APPID, "secret": ROTATED})).await;
    replace();
    until("the new secret", WITHIN, async || rotated(&bed)).await;
    answered(&load, AFTERWARDS).await;
    bed.wechat.change_app(json!({"appid": APPID, "drop_old_secrets": true})).await;
    answered(&load, AFTERWARDS).await;
    for recorded in load.stop().await {
        recorded.answer.expect_login();
    }
    let log = bed.service().log();
    assert!(!log.contains(APP_SECRET) && !log.contains(ROTATED), "an AppSecret is in the log");
}

async fn answered(load: &Load, more: usize) {
    let before = load.answers().len();
    until("more logins", PATIENCE, async || load.answers().len() >= before + more).await;
}

fn rotated(bed: &TestBed) -> bool {
    bed.service().events().iter().any(|event| event["rotated"] == APPID)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_rotated_by_a_renamed_file_without_a_failed_login() {
    let folder = apps_folder(&[(APPID, APP_SECRET)]);
    let bed = TestBed::builder().apps_folder(folder.path()).start().await;
    rotated_under_load(bed, || put(&folder.path().join(APPID), ROTATED)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_rotated_by_kubernetes_without_a_failed_login() {
    let folder = tempfile::tempdir().expect("a folder");
    let volume = folder.path();
    write_version(volume, "..2026_11_20_1", APP_SECRET);
    symlink("..2026_11_20_1", volume.join("..data")).expect("a link");
    symlink(format!("..data/{APPID}"), volume.join(APPID)).expect("a link");
    let bed = TestBed::builder().apps_folder(volume).start().await;
    // As the kubelet does it: a new folder, a new link, and a rename over the old one.
    let swap = || {
        write_version(volume, "..2026_11_20_2", ROTATED);
        symlink("..2026_11_20_2", volume.join("..data_tmp")).expect("a link");
        fs::rename(volume.join("..data_tmp"), volume.join("..data")).expect("renamed");
        fs::remove_dir_all(volume.join("..2026_11_20_1")).expect("removed");
    };
    rotated_under_load(bed, swap).await;
}

fn write_version(volume: &Path, version: &str, secret: &str) {
    fs::create_dir(volume.join(version)).expect("a folder");
    fs::write(volume.join(version).join(APPID), secret).expect("written");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_only_apps_secret_file_is_rotated_without_a_failed_login() {
    let folder = apps_folder(&[("app-secret", APP_SECRET)]);
    let file = folder.path().join("app-secret");
    let bed = TestBed::builder().env("WXMINT_APP_SECRET", "").env("WXMINT_APP_SECRET_FILE", &file.to_string_lossy());
    rotated_under_load(bed.start().await, || put(&file, ROTATED)).await;
}

/// At a service of its own, so that all faults wait at once.
async fn is_told_once_until_it_is_whole((content, reason): (&str, &str)) {
    let folder = apps_folder(&[(APPID, APP_SECRET), (OTHER_APPID, OTHER_SECRET)]);
    let bed = bed_with(folder.path()).await;
    let path = folder.path().join(APPID);
    fs::write(&path, content).expect("written");
    let errors = async || Some(bed.service().reasons("ERROR")).filter(|errors| !errors.is_empty());
    let errors = eventually(reason, WITHIN, errors).await;
    assert!(errors[0].contains(&*path.to_string_lossy()) && errors[0].contains(reason), "{errors:?}");
    for appid in [APPID, OTHER_APPID] {
        let login = json!({"code": code_of(&bed, appid).await, "appid": appid});
        assert_eq!(app_of(ask(&bed, &login, None).await), appid, "{reason}");
    }
    bed.wechat.change_app(json!({"appid": APPID, "secret": ROTATED, "drop_old_secrets": true})).await;
    fs::write(&path, ROTATED).expect("written");
    until("the whole secret", WITHIN, async || rotated(&bed)).await;
    ask(&bed, &json!({"code": code_of(&bed, APPID).await, "appid": APPID}), None).await.expect_login();
    assert_eq!(bed.service().reasons("ERROR").len(), 1, "each fault is told once");
    let log = bed.service().log();
    assert!(![APP_SECRET, OTHER_SECRET, &ROTATED[..16]].iter().any(|secret| log.contains(secret)), "{log}");
}

#[tokio::test]
async fn a_file_that_is_half_written_is_told_once_and_the_secret_of_before_stays() {
    let faults = [("", "must hold the AppSecret"), (&ROTATED[..16], "as if only half"), ("REPLACE-ME", "placeholder")];
    join_all(faults.map(is_told_once_until_it_is_whole)).await;
}

#[tokio::test]
async fn a_folder_that_vanishes_leaves_the_apps_of_before() {
    let folder = apps_folder(&[(APPID, APP_SECRET)]);
    let bed = bed_with(folder.path()).await;
    fs::remove_dir_all(folder.path()).expect("removed");
    eventually("the fault", WITHIN, async || bed.service().reasons("ERROR").first().cloned()).await;
    bed.log_in("lin").await.expect_login();
}

#[tokio::test]
async fn a_folder_with_something_else_in_it_is_refused_at_start_with_every_file_named() {
    let planted = "PLANTED7e4b1a with spaces";
    let folder =
        apps_folder(&[(APPID, APP_SECRET), (OTHER_APPID, planted), ("wx1", "REPLACE-ME"), ("notes.txt", planted)]);
    let outcome = started_on(folder.path().into()).await;
    for name in [OTHER_APPID, "wx1", "notes.txt"] {
        assert!(outcome.contains(&*folder.path().join(name).to_string_lossy()), "{name}: {outcome}");
    }
    assert!(!outcome.contains("PLANTED") && !outcome.contains(APP_SECRET), "{outcome}");

    let empty = tempfile::tempdir().expect("a folder");
    assert!(started_on(empty.path().into()).await.contains("holds no mini program"));
    assert!(started_on(empty.path().join("nowhere")).await.contains("cannot be read"));
}

/// What `wxmint serve` says of a folder that it does not start on.
async fn started_on(folder: PathBuf) -> String {
    let mut configuration = Configuration::new("ES256");
    configuration.unset("WXMINT_APPID");
    configuration.unset("WXMINT_APP_SECRET");
    configuration.set("WXMINT_APPS_DIR", &folder.to_string_lossy());
    let refused = configuration.refused().await;
    assert!(refused.contains("WXMINT_APPS_DIR"), "{refused}");
    refused
}

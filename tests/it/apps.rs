//! Many mini programs: which one a login means, and folders of AppSecrets that change while `wxmint serve` runs.

use crate::support::prelude::*;

const ROTATED: &str = "b0b1b2b3b4b5b6b7b8b9babbbcbdbebf";
/// docs/operation.md: "reads the folder again within 5 s of a change".
const WITHIN: Duration = BUSY.saturating_add(Duration::from_secs(5));
/// Logins under load that are answered after a change, so that none is in flight that began before it.
const AFTERWARDS: usize = 50;

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
    let refused = ask(&bed, &json!({"code": "a"}), None).await.expect_problem(400, "app_required");
    assert_eq!(
        refused.member("detail"),
        "Several apps are configured here: send in `appid` which one this login is for."
    );
    let strangers = referer_of("wx0000000000000000");
    ask(&bed, &json!({"code": "a"}), Some(&strangers)).await.expect_problem(400, "app_required");
    ask(&bed, &json!({"code": "a", "appid": "wx0000000000000000"}), None).await.expect_problem(400, "unknown_app");
    let metrics = bed.service().metrics().await;
    for (outcome, times) in [("unknown_app", 1), ("app_required", 2)] {
        let counted = format!("wxmint_logins_total{{app=\"\",outcome=\"{outcome}\"}} {times}\n");
        assert!(metrics.contains(&counted), "{metrics}");
    }
    assert!(!metrics.contains("wx0000000000000000"), "a stranger's AppID is no label: {metrics}");
}

#[tokio::test]
async fn an_app_comes_and_goes_within_5_s_while_the_other_goes_on() {
    let folder = apps_folder(&[(APPID, APP_SECRET)]);
    let bed = bed_with(folder.path()).await;
    let code = json!({"code": code_of(&bed, OTHER_APPID).await, "appid": OTHER_APPID});
    ask(&bed, &code, None).await.expect_problem(400, "unknown_app");

    replace(&folder.path().join(OTHER_APPID), OTHER_SECRET);
    let added = async || Some(ask(&bed, &code, None).await).filter(|answer| answer.status != 400);
    assert_eq!(app_of(eventually("the new app", WITHIN, added).await), OTHER_APPID);
    bed.service().says("several apps are configured now").await;
    let unnamed = json!({"code": code_of(&bed, APPID).await});
    ask(&bed, &unnamed, None).await.expect_problem(400, "app_required");
    ask(&bed, &json!({"code": code_of(&bed, APPID).await, "appid": APPID}), None).await.expect_login();

    fs::remove_file(folder.path().join(OTHER_APPID)).expect("removed");
    let removed = async || {
        let code = json!({"code": code_of(&bed, OTHER_APPID).await, "appid": OTHER_APPID});
        Some(ask(&bed, &code, None).await).filter(|answer| answer.status != 200)
    };
    eventually("the app's end", WITHIN, removed).await.expect_problem(400, "unknown_app");
    bed.log_in("lin").await.expect_login();
    assert_eq!(bed.service().reasons("ERROR"), [""; 0], "an app that goes is no fault");
    let metrics = bed.service().metrics().await;
    assert!(!metrics.contains(OTHER_APPID), "and leaves no series behind: {metrics}");
}

/// The AppSecret in use changes without a failed login: WeChat takes both for a while, then the new one alone.
async fn rotated_under_load(bed: TestBed, replace: impl FnOnce()) {
    let load = Load::start(&bed).await;
    answered(&load, AFTERWARDS).await;
    bed.wechat.change_app(json!({"appid": APPID, "secret": ROTATED})).await;
    bed.http.1.note("AppSecret", &[], ROTATED);
    replace();
    until("the new secret", WITHIN, async || rotated(&bed)).await;
    answered(&load, AFTERWARDS).await;
    bed.wechat.change_app(json!({"appid": APPID, "drop_old_secrets": true})).await;
    answered(&load, AFTERWARDS).await;
    for recorded in load.stop().await {
        assert_eq!(recorded.answer.status, 200, "{}: {}", recorded.person, recorded.answer.body);
    }
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
    rotated_under_load(bed, || replace(&folder.path().join(APPID), ROTATED)).await;
}

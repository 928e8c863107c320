//! Many mini programs: which one a login means, and folders of AppSecrets that change while `wxmint serve` runs.

use crate::support::prelude::*;

const ROTATED: &str = "b0b1b2b3b4b5b6b7b8b9babbbcbdbebf";
/// Logins under load that are answered after a change, so that none is in flight that began before it.
const AFTERWARDS: usize = 50;

fn app_of(answer: Answer) -> String {
    answer.claims()["client_id"]
        .as_str()
        .expect("client_id")
        .to_owned()
}

/// src/apps/tests.rs has every form of a Referer.
#[tokio::test]
async fn an_app_comes_within_5_s_is_chosen_by_the_body_and_else_by_the_referer_and_goes() {
    let folder = apps_folder(&[(APPID, APP_SECRET)]);
    let bed = TestBed::builder()
        .app(OTHER_APPID, OTHER_SECRET)
        .apps_folder(folder.path())
        .start()
        .await;
    let other = async || bed.log_in_at(OTHER_APPID, "lin", json!({})).await;
    other().await.expect_problem(400, "unknown_app");
    replace(&folder.path().join(OTHER_APPID), OTHER_SECRET);
    let added = async || Some(other().await).filter(|answer| answer.status != 400);
    assert_eq!(
        app_of(eventually("the new app", READ_AGAIN_WITHIN, added).await),
        OTHER_APPID
    );
    bed.service().says("several apps are configured now").await;

    let code_of = async |app: &str| bed.wechat.mint_code_in(app, "lin").await;
    let ask = async |body: Value, referer: &str| {
        let referer = format!("https://servicewechat.com/{referer}/devtools/page-frame.html");
        let request = bed.http.0.post(bed.service().url("/login")).json(&body);
        bed.http.send(request.header("referer", referer)).await
    };
    for app in [APPID, OTHER_APPID] {
        assert_eq!(
            app_of(ask(json!({"code": code_of(app).await}), app).await),
            app
        );
    }
    let named = json!({"code": code_of(OTHER_APPID).await, "appid": OTHER_APPID});
    assert_eq!(
        app_of(ask(named, APPID).await),
        OTHER_APPID,
        "the body has the last word"
    );
    let query = format!(
        "/login?code={}&appid={OTHER_APPID}",
        code_of(OTHER_APPID).await
    );
    assert_eq!(app_of(bed.service().get(&query).await), OTHER_APPID);
    let refused = ask(json!({"code": "a"}), "wx0000000000000000")
        .await
        .expect_problem(400, "app_required");
    let sentence = "Several apps are configured here: send in `appid` which one this login is for.";
    assert_eq!(refused.member("detail"), sentence);
    let metrics = bed.service().metrics().await;
    assert!(
        metrics
            .contains("wxmint_logins_total{platform=\"\",app=\"\",outcome=\"app_required\"} 1\n"),
        "{metrics}"
    );
    assert!(
        !metrics.contains("wx0000000000000000"),
        "a stranger's AppID is no label: {metrics}"
    );

    fs::remove_file(folder.path().join(OTHER_APPID)).expect("removed");
    let removed = async || Some(other().await).filter(|answer| answer.status != 200);
    eventually("the app's end", READ_AGAIN_WITHIN, removed)
        .await
        .expect_problem(400, "unknown_app");
    bed.log_in("lin").await.expect_login();
    assert_eq!(
        bed.service().reasons("ERROR"),
        [""; 0],
        "an app that goes is no fault"
    );
    let metrics = bed.service().metrics().await;
    assert!(
        !metrics.contains(OTHER_APPID),
        "and leaves no series behind: {metrics}"
    );
}

async fn answered(load: &Load, more: usize) {
    let before = load.answers().len();
    until("more logins", PATIENCE, async || {
        load.answers().len() >= before + more
    })
    .await;
}

/// WeChat takes both for a while, then the new one alone.
#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_rotated_by_a_renamed_file_without_a_failed_login() {
    let folder = apps_folder(&[(APPID, APP_SECRET)]);
    let bed = TestBed::builder().apps_folder(folder.path()).start().await;
    let load = Load::start(&bed).await;
    answered(&load, AFTERWARDS).await;
    bed.wechat
        .change_app(json!({"appid": APPID, "secret": ROTATED}))
        .await;
    bed.http.1.note("AppSecret", &[], ROTATED);
    replace(&folder.path().join(APPID), ROTATED);
    let rotated = async || {
        bed.service()
            .events()
            .iter()
            .any(|event| event["rotated"] == APPID)
    };
    until("the new secret", READ_AGAIN_WITHIN, rotated).await;
    answered(&load, AFTERWARDS).await;
    bed.wechat
        .change_app(json!({"appid": APPID, "drop_old_secrets": true}))
        .await;
    answered(&load, AFTERWARDS).await;
    for recorded in load.stop().await {
        assert_eq!(
            recorded.answer.status, 200,
            "{}: {}",
            recorded.person, recorded.answer.body
        );
    }
}

//! A key is revoked by an act alone: what is merely missing from a key file revokes nothing.

use crate::doctor::{Report, command_of, follow};
use crate::support::prelude::*;

/// A verifier asks every 5 s, so a revocation is known 10 s later at the latest.
const NEXT_PAGE: Duration = BUSY.saturating_add(Duration::from_secs(10));

fn key_file(bed: &TestBed) -> PathBuf {
    PathBuf::from(bed.configuration.value("WXMINT_KEYS"))
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).expect("a file")).expect("JSON")
}

/// How often the service has read a changed key file.
async fn reloads(bed: &TestBed) -> f64 {
    let count = async |outcome| {
        bed.service()
            .metric(&format!(
                "wxmint_reloads_total{{what=\"keys\",outcome=\"{outcome}\"}}"
            ))
            .await
    };
    count("ok").await + count("refused").await
}

/// Waits until the service has read what `change` puts into the file.
async fn after_the_next_reload(bed: &TestBed, change: impl FnOnce()) {
    let before = reloads(bed).await;
    change();
    until("the file is read again", READ_AGAIN_WITHIN, async || {
        reloads(bed).await > before
    })
    .await;
}

async fn pages_asked_for(bed: &TestBed) -> f64 {
    bed.service()
        .metric("wxmint_requests_total{route=\"/revocations\",outcome=\"ok\"}")
        .await
}

/// Files that lack the key that signs: another set, and a set in which the key has expired.
fn wrong_files(right: &Value, folder: &Path) -> [Value; 2] {
    let other = folder.join("other.json");
    keys(&other, &["generate"]);
    let (mut other, mut expired) = (read(&other), right.clone());
    expired["keys"][0]["exp"] = 1_000.into();
    // Two keys that were made in one second would have one `nbf`.
    other["keys"][0]["nbf"] = (right["keys"][0]["nbf"].as_i64().expect("seconds") - 1).into();
    expired["keys"]
        .as_array_mut()
        .expect("keys")
        .push(other["keys"][0].clone());
    [other, expired]
}

/// The ids of the keys that the feed calls revoked.
async fn revoked(bed: &TestBed) -> Vec<String> {
    let page = decoded(&bed.service().get("/revocations").await.body).1;
    let revocations = page["revoked"]
        .as_array()
        .expect("ends")
        .iter()
        .filter(|revocation| revocation[0] == "kid");
    revocations
        .map(|revocation| revocation[1].as_str().expect("a kid").to_owned())
        .collect()
}

async fn until_revoked(bed: &TestBed, kids: &[&str]) {
    until(
        "the feed has the revocations of the keys",
        READ_AGAIN_WITHIN,
        async || revoked(bed).await == kids,
    )
    .await;
}

/// Runs the command that a text names, as somebody who is sure.
fn obey(text: &str) {
    follow(&format!("run: {} --yes", command_of(text)));
}

/// Another replica, with a key file in which this key was revoked.
async fn replica_without(bed: &mut TestBed, kid: &str) -> Service {
    let (right, other) = (key_file(bed), bed.configuration.path("other.json"));
    fs::copy(&right, &other).expect("a copy");
    keys(&other, &["retire", kid, "--now", "--yes"]);
    bed.configuration
        .set("WXMINT_KEYS", &other.to_string_lossy());
    let replica = bed.another().await;
    bed.configuration
        .set("WXMINT_KEYS", &right.to_string_lossy());
    replica
}

/// How often the service has looked whether a key is revoked.
async fn looks(bed: &TestBed, outcome: &str) -> f64 {
    let labels = format!("{{operation=\"ended_keys\",outcome=\"{outcome}\"}}");
    bed.service()
        .metric(&format!(
            "wxmint_redis_operation_duration_seconds_count{labels}"
        ))
        .await
}

/// For as long as it takes to read the file, and until verifiers have read the feed some more times.
#[tokio::test]
async fn a_key_that_is_missing_from_the_file_for_a_while_is_not_revoked() {
    let bed = TestBed::start().await;
    let path = key_file(&bed);
    let sidecars = [
        bed.sidecar().ready().await,
        bed.sidecar()
            .with("WXMINT_REVOCATIONS_FAIL", "closed")
            .ready()
            .await,
    ];
    let [lin, mei] = [
        bed.log_in("lin").await.expect_login(),
        bed.log_in("mei").await.expect_login(),
    ];
    let [lin_token, mei_token] = [&lin, &mei].map(|login| login.member("access_token"));
    let (right, kid) = (read(&path), kid_of(&lin_token));
    let [other, expired] = wrong_files(&right, path.parent().expect("a folder"));
    for (wrong, pages) in [(&expired, 0.0), (&other, 2.0)] {
        after_the_next_reload(&bed, || replace(&path, &wrong.to_string())).await;
        let before = pages_asked_for(&bed).await;
        until("verifiers ask", NEXT_PAGE * 3, async || {
            pages_asked_for(&bed).await >= before + pages
        })
        .await;
        after_the_next_reload(&bed, || replace(&path, &right.to_string())).await;
    }
    // A revocation that happens now must still reach everybody, and nothing else may have been said.
    bed.log_out(&mei, false).await;
    for sidecar in &sidecars {
        until("the logout arrives", NEXT_PAGE, async || {
            sidecar.verify(&mei_token).await.status == 401
        })
        .await;
        assert_eq!(
            sidecar.verify(&lin_token).await.status,
            200,
            "{}",
            sidecar.log()
        );
    }
    assert!(bed.accepts(&lin).await);
    assert_eq!(signs(&bed).await, kid);
    assert_eq!(
        (revoked(&bed).await, jwks_kids(&bed).await),
        (Vec::new(), vec![kid])
    );
    let refused = bed.service().reasons("ERROR");
    assert!(
        refused.iter().all(|reason| reason.contains("is missing")),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_refused_file_says_which_key_is_missing_and_the_command_that_revokes_it_mends_the_file() {
    let bed = TestBed::start().await;
    let (path, old) = (key_file(&bed), bed.log_in("lin").await.expect_login());
    let kid = kid_of(&old.member("access_token"));
    let right = read(&path);
    let [other, _] = wrong_files(&right, path.parent().expect("a folder"));
    after_the_next_reload(&bed, || replace(&path, &other.to_string())).await;
    // The log has it a moment after the metrics.
    let first_error = async || bed.service().reasons("ERROR").first().cloned();
    let refused = eventually("an error", READ_AGAIN_WITHIN, first_error).await;
    assert!(
        refused.contains(&format!("key {kid} is missing, which signs")),
        "{refused}"
    );
    assert!(
        bed.accepts(&old).await && signs(&bed).await == kid,
        "nothing has changed"
    );
    assert!(!keys(&path, &["list"]).contains("revoked"));

    obey(&refused);
    until("the other keys are in use", READ_AGAIN_WITHIN, async || {
        jwks_kids(&bed).await == kids_of(&other)
    })
    .await;
    until_revoked(&bed, &[&kid]).await;
    assert!(!bed.accepts(&old).await && signs(&bed).await == kids_of(&other)[0]);
    assert!(keys(&path, &["list"]).contains(&format!("{kid}  revoked")));
    let no_kid =
        crate::support::keys_command(&path, &["retire", &kid[1..], "--now", "--yes"]).output();
    assert_eq!(
        no_kid.expect("it runs").status.code(),
        Some(64),
        "a mistyped kid revokes nothing"
    );

    // An older file does not bring the key back.
    let mut with_both = read(&path);
    with_both["keys"]
        .as_array_mut()
        .expect("keys")
        .push(right["keys"][0].clone());
    with_both.as_object_mut().expect("a set").remove("revoked");
    after_the_next_reload(&bed, || replace(&path, &with_both.to_string())).await;
    let is_back = format!("key {kid} is back although it was revoked");
    let refused = async || {
        bed.service()
            .reasons("ERROR")
            .into_iter()
            .find(|reason| reason.contains(&is_back))
    };
    obey(&eventually(&is_back, READ_AGAIN_WITHIN, refused).await);
    until("the key is out again", READ_AGAIN_WITHIN, async || {
        bed.service()
            .metric("wxmint_reload_refused{what=\"keys\"}")
            .await
            == 0.0
            && !jwks_kids(&bed).await.contains(&kid)
    })
    .await;
}

#[tokio::test]
async fn a_key_in_use_that_is_revoked_is_a_fault_that_the_command_mends() {
    let mut bed = TestBed::builder().breakable_redis().start().await;
    let (path, old) = (key_file(&bed), bed.log_in("lin").await.expect_login());
    let kid = kid_of(&old.member("access_token"));
    let _replica = replica_without(&mut bed, &kid).await;
    let said = bed
        .service()
        .readyz_says(503, &format!("key {kid}, which was revoked"))
        .await;
    assert!(
        !bed.accepts(&old).await,
        "wxmint obeys what every verifier obeys"
    );
    for path in ["/.well-known/jwks.json", "/revocations"] {
        let refused = bed
            .service()
            .get(path)
            .await
            .expect_problem(503, "store_unavailable");
        assert_eq!(
            refused.header("connection"),
            "close",
            "verifiers come to another replica"
        );
    }
    bed.log_in("mei")
        .await
        .expect_problem(503, "store_unavailable");
    let state = format!("wxmint_key_age_seconds{{kid=\"{kid}\",alg=\"ES256\",state=\"revoked\"}}");
    assert!(bed.service().metrics().await.contains(&state));
    let report = Report::of(&bed.configuration).await;
    assert_eq!(
        command_of(&report.advice("keys", "fault", &kid)),
        command_of(&said)
    );

    let restarted = Service::start(&bed.configuration, bed.http.clone()).await;
    restarted.readyz_says(503, &kid).await;
    bed.redis_link().cut().await;
    until("Redis is away", READ_AGAIN_WITHIN, async || {
        looks(&bed, "failed").await > 0.0
    })
    .await;
    bed.service().readyz_says(503, &kid).await;
    bed.redis_link().restore().await;
    let before = looks(&bed, "ok").await;
    until("it has looked again", READ_AGAIN_WITHIN, async || {
        looks(&bed, "ok").await > before + 1.0
    })
    .await;
    assert_eq!(
        bed.service()
            .reasons("ERROR")
            .iter()
            .filter(|reason| reason.contains(&kid))
            .count(),
        1,
        "told once"
    );
    obey(&said);
    for service in [bed.service(), &restarted] {
        service.readyz_says(200, "ok").await;
    }
    let login = bed.log_in("lin").await.expect_login();
    assert!(bed.accepts(&login).await && kid_of(&login.member("access_token")) != kid);
    Report::of(&bed.configuration).await.expect_healthy();
    assert!(keys(&path, &["list"]).contains(&format!("{kid}  revoked")));
}

#[tokio::test]
async fn a_file_may_lack_a_key_that_the_feed_calls_revoked_and_a_published_one_warns_and_keeps_a_start_from_ready()
 {
    let mut bed = TestBed::start().await;
    let (path, kid) = (key_file(&bed), signs(&bed).await);
    let replica = replica_without(&mut bed, &kid).await;
    bed.service().readyz_says(503, &kid).await;
    // Otherwise the process would go on signing what everybody refuses.
    let mut without = read(&bed.configuration.path("other.json"));
    without.as_object_mut().expect("a set").remove("revoked");
    replace(&path, &without.to_string());
    bed.service().readyz_says(200, "ok").await;
    assert_eq!(
        (bed.service().reasons("ERROR").len(), signs(&bed).await),
        (1, kids_of(&without).remove(0))
    );
    drop(replica);

    after_the_next_reload(&bed, || drop(keys(&path, &["rotate", "--now"]))).await;
    let [signing, published] = jwks_kids(&bed).await.try_into().expect("two keys");
    let _replica = replica_without(&mut bed, &published).await;
    let said = bed.service().readyz_says(200, &published).await;
    assert!(
        said.contains("warning: ") && bed.accepts(&bed.log_in("lin").await).await,
        "{said}"
    );
    assert_eq!(
        jwks_kids(&bed).await,
        [signing.as_str()],
        "the feed forgets revocations, and the file is wrong"
    );
    let restarted = Service::start(&bed.configuration, bed.http.clone()).await;
    restarted.readyz_says(503, &published).await;
    obey(&said);
    restarted.readyz_says(200, "ok").await;
    until("nothing is wrong", READ_AGAIN_WITHIN, async || {
        bed.service().readyz().await.body == "ok\n"
    })
    .await;
    assert_eq!(jwks_kids(&bed).await, [signing]);
}

#[tokio::test]
async fn a_key_that_is_revoked_while_redis_is_away_is_in_the_feed_once_redis_is_back() {
    let bed = TestBed::builder().breakable_redis().start().await;
    let (path, kid) = (key_file(&bed), signs(&bed).await);
    bed.redis_link().cut().await;
    keys(&path, &["retire", &kid, "--now", "--yes"]);
    bed.service().says("verifiers have not been told yet").await;
    bed.redis_link().restore().await;
    until("Redis is back", READ_AGAIN_WITHIN, async || {
        bed.service().get("/revocations").await.status == 200
    })
    .await;
    until_revoked(&bed, &[&kid]).await;
    bed.service()
        .says("this key was retired before its time")
        .await;
}

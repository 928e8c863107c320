//! A key file that changes while `wxmint serve` runs: read again within 5 s where it is fit, refused where it is not.
//! The tests of src/apps hold that a Secret is read that Kubernetes swaps; `tests/cluster/secret_keys.py` has a
//! real one.

use crate::support::prelude::*;

const REFUSED: &str = "wxmint_reload_refused{what=\"keys\"}";

/// An editor, a copy or a deployment can leave half of a file, or keys each of which is sound, and none may sign.
#[tokio::test]
async fn a_file_that_is_not_fit_is_refused_and_told_and_one_that_is_mended_is_in_use_within_5_s() {
    let bed = TestBed::start().await;
    let (path, service) = (
        PathBuf::from(bed.configuration.value("WXMINT_KEYS")),
        bed.service(),
    );
    let old = jwks_kids(&bed).await.remove(0);
    let whole = fs::read_to_string(&path).expect("the keys");
    let mut early: Value = serde_json::from_str(&whole).expect("JSON");
    early["keys"][0]["nbf"] = (early["keys"][0]["nbf"].as_i64().expect("seconds") + 3600).into();
    let faults = [
        (&whole[..whole.len() / 2], "not a JWK Set"),
        (&early.to_string(), "no key may sign yet"),
    ];
    for (number, (content, reason)) in faults.into_iter().enumerate() {
        replace(&path, content);
        until(reason, READ_AGAIN_WITHIN, async || {
            service.reasons("ERROR").len() > number
        })
        .await;
        assert!(
            service.reasons("ERROR")[number].contains(reason),
            "{reason}: {:?}",
            service.reasons("ERROR")
        );
        until("it is told", READ_AGAIN_WITHIN, async || {
            service.metric(REFUSED).await == 1.0
        })
        .await;
        assert_eq!(
            jwks_kids(&bed).await,
            [old.as_str()],
            "{reason}: the keys of before stay"
        );
        assert_eq!(signs(&bed).await, old, "{reason}: the key of before signs");
    }

    let mended = path.with_extension("mended");
    // One new key, which ends the old one.
    keys(&mended, &["generate"]);
    keys(&mended, &["retire", &old, "--now", "--yes"]);
    let other = fs::read(&mended).expect("the keys");
    let new = kids_of(&serde_json::from_slice(&other).expect("JSON")).remove(0);
    let secrets = [private_parts(whole.as_bytes()), private_parts(&other)].concat();
    fs::rename(&mended, &path).expect("renamed");
    until("mended", READ_AGAIN_WITHIN, async || {
        jwks_kids(&bed).await == [new.as_str()]
    })
    .await;
    // The keys are in use a moment before the gauge says so.
    until("said to be mended", READ_AGAIN_WITHIN, async || {
        service.metric(REFUSED).await == 0.0
    })
    .await;
    assert_eq!(signs(&bed).await, new, "mended");
    assert_eq!(
        service.reasons("ERROR").len(),
        2,
        "a fault is told once: {:?}",
        service.reasons("ERROR")
    );
    assert_eq!(
        service
            .metric("wxmint_reloads_total{what=\"keys\",outcome=\"refused\"}")
            .await,
        2.0
    );
    let log = service.log();
    assert!(
        secrets.iter().all(|secret| !log.contains(secret)),
        "a private part is in the log"
    );
}

#[tokio::test]
async fn a_clock_that_steps_back_before_the_only_key_is_an_error_in_the_log_and_one_that_is_mended_is_told_too()
 {
    let (clock, bed) = Clock::around(TestBed::builder()).await;
    let signs = || bed.service().told("this key signs");
    assert_eq!(signs().len(), 1);
    clock.is_off_but_for_redis(-30 * 24 * 3600);
    let none = "no key signs by the clock of this machine; see: wxmint keys list";
    until("told", READ_AGAIN_WITHIN, async || {
        !bed.service().told(none).is_empty()
    })
    .await;
    let [event] = &bed.service().told(none)[..] else {
        panic!("once: {}", bed.service().log())
    };
    assert_eq!(event["level"], "ERROR", "{event}");
    clock.is_off_but_for_redis(0);
    until("a key signs again", READ_AGAIN_WITHIN, async || {
        signs().len() == 2
    })
    .await;
    assert!(
        signs().iter().all(|event| event["kid"].is_string()),
        "{:?}",
        signs()
    );
}

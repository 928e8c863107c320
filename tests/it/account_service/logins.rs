//! Logins by an account service, through `wxmint serve`.

use super::Reply;
use crate::support::prelude::*;

pub(super) fn alice(password: &str) -> Value {
    json!({"username": "alice", "password": password})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_binds_and_from_then_on_the_service_is_not_asked_and_what_signs_a_request_is_no_access_token()
 {
    let service = AccountService::start();
    let bed = TestBed::builder()
        .env("WXMINT_ACCOUNTS", &service.url())
        .env("RUST_LOG", "trace")
        .start()
        .await;
    let ticket = bed
        .log_in("lin")
        .await
        .expect_problem(403, "binding_required")
        .member("bind_ticket");
    assert!(service.calls().is_empty());
    bed.log_in_with("lin", alice("a guess"))
        .await
        .expect_problem(403, "invalid_credentials");
    let mut with_ticket = alice("wonderland");
    with_ticket["bind_ticket"] = ticket.into();
    let bound = bed.service().log_in_with(&with_ticket).await.expect_login();
    assert_eq!(
        (bound.member("user_id").as_str(), &bound.json()["new_user"]),
        ("user-alice", &json!(false))
    );

    let calls = service.take_calls();
    service.misbehave(Reply::STALLED);
    assert_eq!(
        bed.log_in("lin").await.expect_login().member("user_id"),
        "user-alice"
    );
    assert!(service.calls().is_empty());
    bed.service()
        .unbind(calls[0].token())
        .await
        .expect_problem(401, "invalid_token");
    assert_eq!(
        bed.service()
            .unbind(&bound.member("access_token"))
            .await
            .status,
        204
    );
}

/// The operator is told this of a request.
pub(super) async fn warning(bed: &TestBed, request_id: &str) -> String {
    eventually("a warning", PATIENCE, async || {
        let events = bed.service().events();
        let of_this =
            |event: &&Value| event["request_id"] == request_id && event["level"] == "WARN";
        events.iter().find(of_this).map(Value::to_string)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn by_https_the_certificate_must_be_the_systems_or_of_ssl_cert_file() {
    let service = AccountService::start();
    let tls = Terminator::before(service.address).await;
    let url = format!("https://{}/wxmint", tls.address);
    let mut bed = TestBed::builder()
        .env("WXMINT_ACCOUNTS", &url)
        .start()
        .await;
    let answer = bed
        .log_in_with("lin", alice("wonderland"))
        .await
        .expect_problem(503, "accounts_unavailable");
    let event = warning(&bed, &answer.member("request_id")).await;
    assert!(
        service.calls().is_empty() && event.contains("certificate"),
        "{event}"
    );

    let bundle = bed.configuration.path("roots.pem");
    fs::write(&bundle, &tls.certificate).expect("written");
    bed.configuration
        .set("SSL_CERT_FILE", &bundle.to_string_lossy());
    bed.services[0] = bed.another().await;
    bed.log_in_with("lin", alice("wonderland"))
        .await
        .expect_login();
}

/// A service for several tenants finds the tenant by the app.
#[tokio::test(flavor = "multi_thread")]
async fn each_call_names_the_app_of_its_login() {
    let service = AccountService::start();
    let bed = TestBed::builder()
        .two_apps()
        .env("WXMINT_ACCOUNTS", &service.url())
        .env("WXMINT_ACCOUNTS_CHECK", "true")
        .env("WXMINT_AUTO_PROVISION", "true")
        .start()
        .await;
    // A person who is known by the unionid gets no second user, so each app has its own newcomer.
    for (app, newcomer) in [(APPID, "sun"), (OTHER_APPID, "zhou")] {
        let phone_code = bed.wechat.mint_phone_code_in(app, "mei").await;
        let by_phone = json!({"phone_code": phone_code});
        for (person, members) in [
            ("lin", alice("wonderland")),
            ("mei", by_phone),
            (newcomer, json!({})),
        ] {
            let answer = bed.log_in_at(app, person, members).await;
            assert_eq!(answer.status, 200, "{answer:?}");
        }
        let calls = service.take_calls();
        let paths: BTreeSet<_> = calls.iter().map(|call| call.path.as_str()).collect();
        assert_eq!(paths.len(), 4, "each kind of call: {paths:?}");
        for call in &calls {
            assert_eq!(call.json()["client_id"], app, "{}", call.path);
        }
    }
}

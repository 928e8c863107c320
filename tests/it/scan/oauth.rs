//! The rules of RFC 8628, RFC 6749 and of CORS, one by one.

use reqwest::Method;

use super::*;
use crate::web_login::cross_origin::reader;

const DEVICE: &str = "/device_authorization";

async fn basic(
    bed: &TestBed,
    path: &str,
    user: &str,
    secret: &str,
    form: &[(&str, &str)],
) -> Answer {
    bed.http
        .send(with_form(
            bed.http
                .0
                .post(bed.service().url(path))
                .basic_auth(user, Some(secret)),
            form,
        ))
        .await
}

/// RFC 6749 section 2.3.1: by the header or by the form. A page has no secret, and sends none.
#[tokio::test]
async fn a_back_end_shows_its_secret_and_a_page_has_none() {
    let bed = builder().start().await;
    assert_eq!(basic(&bed, DEVICE, "shop", SECRET, &[]).await.status, 200);
    assert_eq!(
        bed.form(DEVICE, &[("client_id", "shop"), ("client_secret", SECRET)])
            .await
            .status,
        200
    );
    for (form, said) in [
        (&[("client_id", "nobody")][..], "No client here"),
        (&[("client_id", "shop")], "its secret is missing"),
        (
            &[("client_id", "shop"), ("client_secret", "")],
            "its secret is missing",
        ),
        (
            &[("client_id", "shop"), ("client_secret", "wrong")],
            "secret is wrong",
        ),
        (
            &[("client_id", "shop-web"), ("client_secret", SECRET)],
            "has no secret",
        ),
    ] {
        for path in [DEVICE, "/token"] {
            let refused = bed
                .form(path, form)
                .await
                .expect_oauth(401, "invalid_client");
            assert!(
                refused.member("error_description").contains(said),
                "{refused:?}"
            );
            assert!(
                refused.header("www-authenticate").starts_with("Basic "),
                "{refused:?}"
            );
        }
    }
    basic(&bed, DEVICE, "shop", &format!("{SECRET}&x=1"), &[])
        .await
        .expect_oauth(401, "invalid_client");
    let twice = bed
        .http
        .0
        .post(bed.service().url(DEVICE))
        .basic_auth("shop", Some(SECRET))
        .bearer_auth("x");
    bed.http
        .send(with_form(twice, &[]))
        .await
        .expect_oauth(401, "invalid_client");
    basic(&bed, DEVICE, "shop", "wrong", &[])
        .await
        .expect_oauth(401, "invalid_client");
    basic(&bed, DEVICE, "shop", SECRET, &[("client_secret", SECRET)])
        .await
        .expect_oauth(400, "invalid_request");
    basic(&bed, DEVICE, "shop", SECRET, &[("client_id", "cli.1")])
        .await
        .expect_oauth(400, "invalid_request");
    let bearer = with_form(
        bed.http
            .0
            .post(bed.service().url(DEVICE))
            .bearer_auth(SECRET),
        &[("client_id", "shop")],
    );
    bed.http
        .send(bearer)
        .await
        .expect_oauth(401, "invalid_client");
}

#[tokio::test]
#[expect(
    clippy::too_many_lines,
    reason = "the table has a row for each mistake"
)]
async fn each_mistake_of_a_page_has_its_error_and_the_metadata_name_the_endpoints() {
    let bed = builder().start().await;
    let request = bed.ask().await;
    let code = request.asked.member("device_code");
    let (client, grant) = (("client_id", "shop-web"), ("grant_type", GRANT));
    for (form, error) in [
        (&[grant, ("device_code", &code)][..], "invalid_request"),
        (&[client, ("device_code", &code)], "invalid_request"),
        (&[client, grant], "invalid_request"),
        (
            &[client, client, grant, ("device_code", &code)],
            "invalid_request",
        ),
        (
            &[client, ("grant_type", "password"), ("device_code", &code)],
            "unsupported_grant_type",
        ),
        (
            &[
                client,
                ("grant_type", "refresh_token"),
                ("device_code", &code),
            ],
            "unsupported_grant_type",
        ),
        (
            &[client, grant, ("device_code", "nonsense")],
            "invalid_grant",
        ),
        (
            &[client, grant, ("device_code", &request.user_code())],
            "invalid_grant",
        ),
        (
            &[client, grant, ("device_code", &"A".repeat(43))],
            "invalid_grant",
        ),
        (
            &[("client_id", "cli.1"), grant, ("device_code", &code)],
            "invalid_grant",
        ),
        (
            &[
                client,
                grant,
                ("device_code", &code),
                ("more", "is ignored"),
            ],
            "authorization_pending",
        ),
    ] {
        bed.form("/token", form).await.expect_oauth(400, error);
    }
    let json = bed
        .http
        .0
        .post(bed.service().url(DEVICE))
        .json(&json!({"client_id": "shop-web"}));
    bed.http
        .send(json)
        .await
        .expect_oauth(400, "invalid_request");
    bed.form(DEVICE, &[])
        .await
        .expect_oauth(400, "invalid_request");
    bed.form(DEVICE, &[("client_id", "elsewhere")])
        .await
        .expect_oauth(400, "unauthorized_client");
    bed.service()
        .get("/token")
        .await
        .expect_problem(405, "invalid_request");
    let wrong = [
        ("client_id", "shop"),
        ("client_secret", SECRET),
        ("browser_address", "not an address"),
    ];
    bed.form(DEVICE, &wrong)
        .await
        .expect_oauth(400, "invalid_request");
    bed.form("/token", &[client, ("client_secret", SECRET)])
        .await
        .expect_oauth(401, "invalid_client");
    assert_eq!(
        from(
            &bed,
            ORIGIN,
            Method::POST,
            DEVICE,
            &[("client_id", "cli.1")]
        )
        .await,
        (400, Value::Null)
    );
    for client in ["elsewhere", "shop", "shop-web", "cli.1"] {
        let is_refused =
            |event: &Value| event["unmapped"]["client"] == client && event["status_id"] == 2;
        until(client, BUSY, async || {
            bed.service().events().iter().any(is_refused)
        })
        .await;
    }

    // RFC 8628 section 4, RFC 8414.
    let metadata = bed
        .service()
        .get("/.well-known/oauth-authorization-server")
        .await
        .json();
    assert_eq!(
        metadata["device_authorization_endpoint"],
        format!("{ISSUER}{DEVICE}")
    );
    assert_eq!(metadata["token_endpoint"], format!("{ISSUER}/token"));
    assert_eq!(metadata["grant_types_supported"], json!([GRANT]));
    let methods = json!(["client_secret_basic", "client_secret_post", "none"]);
    assert_eq!(metadata["token_endpoint_auth_methods_supported"], methods);
}

/// The answer that a browser lets a page of `origin` read.
async fn from(
    bed: &TestBed,
    origin: &str,
    method: Method,
    path: &str,
    form: &[(&str, &str)],
) -> (u16, Value) {
    let request = with_form(
        bed.http
            .0
            .request(method, bed.service().url(path))
            .header("origin", origin),
        form,
    );
    let answer = bed.http.send(request).await;
    (answer.status, reader(&answer).into())
}

#[tokio::test]
async fn only_the_clients_own_site_reads_its_answers() {
    let bed = builder().start().await;
    let own = [("client_id", "shop-web")];
    // tests/it/web_login/cross_origin.rs has the other strangers.
    let stranger = "https://shop.example.com.evil.example";
    assert_eq!(
        from(&bed, ORIGIN, Method::POST, DEVICE, &own).await,
        (200, ORIGIN.into())
    );
    assert_eq!(
        from(&bed, ORIGIN, Method::POST, "/token", &own).await,
        (400, ORIGIN.into()),
        "errors too"
    );
    for path in [DEVICE, "/token", "/logout"] {
        assert_eq!(
            from(&bed, ORIGIN, Method::OPTIONS, path, &[]).await,
            (204, ORIGIN.into()),
            "{path}"
        );
        assert_eq!(
            from(&bed, stranger, Method::OPTIONS, path, &[]).await.1,
            Value::Null,
            "{path} {stranger}"
        );
    }
    // Such a page could use up the limits of its visitor's address.
    let like_the_issuer = format!("{ISSUER}.evil.example");
    for stranger in [stranger, &like_the_issuer] {
        assert_eq!(
            from(&bed, stranger, Method::POST, DEVICE, &own).await,
            (400, Value::Null),
            "{stranger}"
        );
    }
    for path in [
        "/login",
        "/binding",
        "/wechat/phone",
        "/device/WDJBMJHT/approve",
    ] {
        assert_eq!(
            from(&bed, ORIGIN, Method::OPTIONS, path, &[]).await.1,
            Value::Null,
            "{path}"
        );
    }
    let (page, phone) = (
        bed.let_in("shop-web", "lin").await,
        bed.log_in("lin").await.expect_login(),
    );
    for (login, origin, may) in [
        (&page, stranger, false),
        (&phone, ORIGIN, false),
        (&page, ORIGIN, true),
    ] {
        let request = bed
            .http
            .0
            .post(bed.service().url("/logout"))
            .header("origin", origin);
        let answer = bed
            .http
            .send(request.bearer_auth(login.member("access_token")))
            .await;
        assert_eq!((answer.status, reader(&answer).is_some()), (204, may));
    }
}

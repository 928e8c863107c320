//! A page reads why it is refused (CORS), also before anybody knows whose page it is. `tests/it/web_login` has the
//! routes that pages of apps may call.

use reqwest::RequestBuilder;

use super::*;
use crate::web_login::cross_origin::reader;

const OTHER_ORIGIN: &str = "https://other.example.com";
const STRANGER: &str = "https://evil.example.com";

/// A request of a page.
struct Asked {
    what: &'static str,
    status: u16,
    method: &'static str,
    path: &'static str,
    token: Option<&'static str>,
    body: String,
    content_type: &'static str,
}

const FORM: &str = "application/x-www-form-urlencoded";

fn asked(what: &'static str, status: u16, method: &'static str, path: &'static str) -> Asked {
    Asked {
        what,
        status,
        method,
        path,
        token: None,
        body: String::new(),
        content_type: FORM,
    }
}

impl Asked {
    async fn by<R>(&self, bed: &TestBed<R>, origin: &str) -> Answer {
        let method = self.method.parse().expect("a method");
        let request = bed
            .http
            .0
            .request(method, bed.service().url(self.path))
            .header("origin", origin);
        let request = request
            .header("content-type", self.content_type)
            .body(self.body.clone());
        let request = self
            .token
            .into_iter()
            .fold(request, RequestBuilder::bearer_auth);
        let answer = bed.http.send(request).await;
        assert_eq!(answer.status, self.status, "{}: {answer:?}", self.what);
        answer
    }
}

fn refused() -> Vec<Asked> {
    let long = format!("client_id=spa&token={}", "x".repeat(20_000));
    let mut all = Vec::new();
    for path in ["/device_authorization", "/token", "/revoke", "/logout"] {
        all.push(asked("another method", 405, "PUT", path));
    }
    for path in ["/device_authorization", "/token", "/revoke"] {
        all.push(Asked {
            body: long.clone(),
            ..asked("too large", 413, "POST", path)
        });
        all.push(Asked {
            content_type: "text/plain",
            body: "x".into(),
            ..asked("no form", 400, "POST", path)
        });
        all.push(Asked {
            body: "client_id=nobody".into(),
            ..asked("unknown", 401, "POST", path)
        });
        all.push(asked("no client", 400, "POST", path));
    }
    for method in ["GET", "POST"] {
        all.push(asked("no token", 401, method, "/userinfo"));
        all.push(Asked {
            token: Some("a.b.c"),
            ..asked("no valid token", 401, method, "/userinfo")
        });
    }
    all.push(asked("another method", 405, "DELETE", "/userinfo"));
    all.push(Asked {
        token: Some("a.b.c"),
        ..asked("no valid token", 401, "POST", "/logout")
    });
    all
}

#[tokio::test]
async fn a_page_reads_why_it_is_refused_and_a_stranger_reads_nothing() {
    let mut clients = clients();
    let other =
        json!({"client_id": "other", "name": "Other", "appid": APPID, "origins": [OTHER_ORIGIN]});
    clients.as_array_mut().expect("clients").push(other);
    let bed = TestBed::builder()
        .clients(&clients)
        .env("WXMINT_LIMIT_IP", "40/5m")
        .start()
        .await;
    for asked in refused() {
        // Nobody knows yet whose request it is, so it may be that of any client's page.
        for origin in [ORIGIN, OTHER_ORIGIN] {
            let answer = asked.by(&bed, origin).await;
            assert_eq!(
                reader(&answer),
                Some(origin),
                "{} {}: {answer:?}",
                asked.path,
                asked.what
            );
        }
        for origin in [
            STRANGER,
            "null",
            "https://shop.example.com.",
            "https://SHOP.example.com",
        ] {
            let answer = asked.by(&bed, origin).await;
            assert_eq!(
                reader(&answer),
                None,
                "{} {} {origin}",
                asked.path,
                asked.what
            );
            assert_eq!(
                answer.header("vary"),
                "Origin",
                "a cache must not give it to another site: {answer:?}"
            );
        }
    }
    let told = Asked {
        token: Some("a.b.c"),
        ..asked("no valid token", 401, "GET", "/userinfo")
    }
    .by(&bed, ORIGIN)
    .await;
    assert!(
        told.header("access-control-expose-headers")
            .contains("WWW-Authenticate"),
        "{told:?}"
    );
    assert!(
        told.header("www-authenticate").contains("invalid_token"),
        "{told:?}"
    );

    // Once it is known whose request it is, the client's own pages read the answer, and its errors.
    let back = told_by_site(&bed).await;
    let userinfo = async |origin: &str| {
        let get = bed
            .http
            .0
            .get(bed.service().url("/userinfo"))
            .bearer_auth(back.member("access_token"));
        bed.http.send(get.header("origin", origin)).await
    };
    for (origin, may) in [(ORIGIN, Some(ORIGIN)), (OTHER_ORIGIN, None)] {
        let told = userinfo(origin).await;
        assert_eq!((told.status, reader(&told)), (200, may), "{told:?}");
    }
    let many = join_all((0..40).map(|_| userinfo(ORIGIN))).await;
    let limited = many
        .iter()
        .find(|answer| answer.status == 429)
        .expect("too many");
    assert_eq!(reader(limited), Some(ORIGIN), "{limited:?}");
    bed.revoke_as_page(&back).await;
    let ended = userinfo(ORIGIN).await;
    assert!(
        [401, 429].contains(&ended.status) && reader(&ended) == Some(ORIGIN),
        "{ended:?}"
    );

    // Public documents are for every page, and so are their errors.
    for path in [
        "/.well-known/jwks.json",
        "/.well-known/openid-configuration",
    ] {
        let refused = asked("another method", 405, "PUT", path)
            .by(&bed, STRANGER)
            .await;
        assert_eq!(
            refused.header("access-control-allow-origin"),
            "*",
            "{refused:?}"
        );
    }
}

#[tokio::test]
async fn a_page_reads_that_redis_is_away() {
    let bed = builder().breakable_redis().start().await;
    let back = told_by_site(&bed).await;
    bed.redis_link().withhold_from(1);
    for (method, path) in [("GET", "/userinfo"), ("POST", "/logout")] {
        let method = method.parse().expect("a method");
        let request = bed
            .http
            .0
            .request(method, bed.service().url(path))
            .header("origin", ORIGIN);
        let answer = bed
            .http
            .send(request.bearer_auth(back.member("access_token")))
            .await;
        assert_eq!(
            (answer.status, reader(&answer)),
            (503, Some(ORIGIN)),
            "{path}: {answer:?}"
        );
    }
    bed.redis_link().restore().await;
}

/// The tokens of the page alone.
async fn told_by_site<R>(bed: &TestBed<R>) -> Answer {
    let back = told(&bed.let_in_site(&asks("spa", ORIGIN), "lin").await);
    let form = [&grant(&back["code"], ORIGIN)[..], &[("client_id", "spa")]].concat();
    bed.form("/token", &form).await.expect_login()
}

impl<R> TestBed<R> {
    async fn revoke_as_page(&self, tokens: &Answer) {
        let form = [
            ("client_id", "spa"),
            ("token", &*tokens.member("access_token")),
        ];
        let post = self
            .http
            .0
            .post(self.service().url("/revoke"))
            .header("origin", ORIGIN);
        let revoked = self.http.send(with_form(post, &form)).await;
        assert_eq!(
            (revoked.status, reader(&revoked)),
            (200, Some(ORIGIN)),
            "{revoked:?}"
        );
    }
}

//! Strangers may send anything: the answer is always a 4xx that says what is wrong and repeats nothing of it, or a
//! closed connection; never a 5xx, never a hang, and the next login succeeds.

mod by_token;

use std::net::SocketAddr;
use std::sync::LazyLock;

use crate::support::prelude::*;
use Expected::{Bare, Closed, Problem, Use};

/// Stands for a secret in every request of this file, and must come back in none.
const MARKED: &str = "hunter2";
/// The deadline of requests that are sent at once.
const PROMPT: Duration = BUSY;
/// 5 s for a head, 10 s for a body.
const SLOW_HEAD: Duration = BUSY.saturating_add(Duration::from_secs(5));
const SLOW_BODY: Duration = BUSY.saturating_add(Duration::from_secs(10));

const JSON: &str = "application/json";
const FORM: &str = "application/x-www-form-urlencoded";
#[rustfmt::skip]
const KNOWN: [&str; 7] = [
    "invalid_request", "code_invalid", "code_used", "credentials_in_query", "unknown_app", "invalid_token",
    "decryption_failed",
];
const READ: &str = "GET, HEAD";
const LOG_IN: &str = "GET, POST";
const ALLOWED: [&str; 5] = [READ, LOG_IN, "GET", "POST", "DELETE"];
const METHODS: [&str; 9] = [
    "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW",
];

static API: LazyLock<Value> = LazyLock::new(|| {
    serde_json::from_str(&wxmint::issuer::openapi_json(wxmint::doors::DOORS))
        .expect("the description is JSON")
});

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expected {
    /// Our own handlers' answer.
    Problem(u16, &'static str),
    /// 405, and what `Allow` says.
    Use(&'static str),
    /// actix-web's own answer to what is not HTTP: no body.
    Bare(u16),
    /// Not worth an answer.
    Closed,
}

const INVALID: Expected = Problem(400, "invalid_request");
const CODE_INVALID: Expected = Problem(400, "code_invalid");
const NOT_FOUND: Expected = Problem(404, "invalid_request");
const TOO_LARGE: Expected = Problem(413, "invalid_request");
const UNSUPPORTED: Expected = Problem(415, "invalid_request");
const LONG_HEAD: Expected = Problem(431, "invalid_request");

#[derive(Debug, Clone)]
struct Case {
    name: String,
    request: Vec<u8>,
    expected: Expected,
    pace: Pace,
    within: Duration,
}

impl Case {
    fn new(name: impl Into<String>, request: impl Into<Vec<u8>>, expected: Expected) -> Self {
        Self {
            name: name.into(),
            request: request.into(),
            expected,
            pace: Pace::AtOnce,
            within: PROMPT,
        }
    }

    /// `POST /login` with this body.
    fn post(content_type: &str, body: impl AsRef<[u8]>, expected: Expected) -> Self {
        Self::post_to(
            "/login",
            &format!("Content-Type: {content_type}\r\n"),
            body.as_ref(),
            expected,
        )
    }

    fn post_to(path: &str, headers: &str, body: &[u8], expected: Expected) -> Self {
        let head = head_of(
            "POST",
            path,
            &format!("{headers}Content-Length: {}\r\n", body.len()),
        );
        let shown = String::from_utf8_lossy(&body[..body.len().min(60)]).into_owned();
        Self::new(
            format!("{path} {headers}{shown}"),
            [head.as_bytes(), body].concat(),
            expected,
        )
    }

    /// `POST /login` with these headers and this body, JSON unless the headers say otherwise.
    fn framed(name: &str, headers: &str, body: &str, expected: Expected) -> Self {
        let head = head_of(
            "POST",
            "/login",
            &format!("Content-Type: application/json\r\n{headers}"),
        );
        Self::new(name, format!("{head}{body}"), expected)
    }

    /// A request without a body.
    fn asked(method: &str, target: &str, expected: Expected) -> Self {
        let name = format!("{method} {}", &target[..target.len().min(60)]);
        Self::new(name, head_of(method, target, ""), expected)
    }

    /// All but the first bytes at one a second, and then none.
    fn slowly(mut self, at_once: usize, within: Duration) -> Self {
        (self.pace, self.within) = (Pace::Drip { at_once }, within);
        self
    }

    async fn check(&self, listener: SocketAddr) {
        let received = Received::after(listener, &self.request, self.pace, self.within).await;
        let found = self.classify(&received);
        assert_eq!(found, self.expected, "{}: {}", self.name, received.text());
        assert!(
            !received.text().contains(MARKED),
            "{}: {}",
            self.name,
            received.text()
        );
        assert!(
            received.answers() <= 1,
            "{}: {}",
            self.name,
            received.text()
        );
    }

    /// Holds what came against the promises that all answers of its kind keep.
    fn classify(&self, received: &Received) -> Expected {
        let Some(status) = received.status() else {
            return Closed;
        };
        assert!(
            (400..500).contains(&status),
            "{}: {}",
            self.name,
            received.text()
        );
        let id = received.header("x-request-id");
        if id.is_empty() {
            assert_eq!(received.body(), "", "{}", self.name);
            return Bare(status);
        }
        let allow = received.header("allow");
        let allowed = ALLOWED
            .into_iter()
            .find(|methods| status == 405 && *methods == allow);
        if self.request.starts_with(b"HEAD ") {
            return allowed.map_or(Bare(status), Use);
        }
        let problem = received.json();
        assert_eq!(
            received.header("content-type"),
            "application/problem+json",
            "{}",
            self.name
        );
        assert_eq!(
            (&problem["status"], &problem["request_id"]),
            (&status.into(), &id.into()),
            "{}",
            self.name
        );
        assert!(
            problem["detail"]
                .as_str()
                .is_some_and(|detail| detail.ends_with('.')),
            "{}: {problem}",
            self.name
        );
        let code = KNOWN
            .into_iter()
            .find(|code| problem["code"] == **code)
            .expect("a code of the table");
        // 404 and 405 are of no route that is described.
        assert!(
            [404, 405].contains(&status) || self.is_described(status, code),
            "{}: {problem}",
            self.name
        );
        allowed.map_or(Problem(status, code), Use)
    }

    /// Whether the description of the API has what was answered. True, too, where the request is to no route.
    fn is_described(&self, status: u16, code: &str) -> bool {
        let request = String::from_utf8_lossy(&self.request);
        let mut words = request.split([' ', '?']);
        let method = words.next().unwrap_or_default().to_ascii_lowercase();
        let operation = &API["paths"][words.next().unwrap_or_default()][method];
        let answers = &operation["responses"][status.to_string()]["content"]["application/problem+json"]
            ["examples"];
        operation.is_null() || answers.get(code).is_some()
    }
}

/// A request of each method that the path does not have.
fn other_methods(path: &str, allowed: &'static str) -> impl Iterator<Item = Case> {
    let is_another = move |method: &&str| allowed.split(", ").all(|own| own != *method);
    METHODS
        .into_iter()
        .filter(is_another)
        .map(move |method| Case::asked(method, path, Use(allowed)))
}

fn head_of(method: &str, target: &str, headers: &str) -> String {
    format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n")
}

/// `src/issuer/login_fields.rs` has each fault of a field.
fn json_bodies() -> Vec<Case> {
    let refused: [&[u8]; 7] = [
        b"",
        b"null",
        b"{\"code\":1e999}",
        b"{\"code\":\"hunter2\",\"c\\u006fde\":\"hunter2\"}",
        b"{\"code\":\"hunter2\\ud800\"}",
        b"{\"code\":\"a\",\"extra\":\"hunter2\xc3\x28\"}",
        b"\xef\xbb\xbf{\"code\":\"hunter2\"}",
    ];
    let mut cases: Vec<_> = refused
        .into_iter()
        .map(|body| Case::post(JSON, body, INVALID))
        .collect();
    for (body, expected) in [
        (
            r#"{"code":"hunter2","username":"hunter2","password":"hunter2"}"#.to_owned(),
            INVALID,
        ),
        (
            r#"{"bind_ticket":"hunter2hunter2hunter2h"}"#.to_owned(),
            Problem(400, "code_used"),
        ),
        // Depth costs nothing in a member that nobody reads.
        (
            format!(
                "{{\"code\":\"{MARKED}1\",\"x\":{}{}}}",
                "[".repeat(8_000),
                "]".repeat(8_000)
            ),
            CODE_INVALID,
        ),
        (
            format!("{{\"code\":\"a\",\"x\":\"{}\"}}", "x".repeat(16 * 1024)),
            TOO_LARGE,
        ),
        ("x".repeat(1024 * 1024), TOO_LARGE),
        (
            "{\"code\":\"a\",\"appid\":\"hunter2\"}".to_owned(),
            Problem(400, "unknown_app"),
        ),
        (
            format!("{{\"code\":\"{MARKED}\\\" & ' ; --\",\"appid\":null}}"),
            CODE_INVALID,
        ),
    ] {
        cases.push(Case::post(JSON, body, expected));
    }
    cases
}

fn forms_and_queries() -> Vec<Case> {
    let mut cases = Vec::new();
    for (fields, expected) in [
        ("", INVALID),
        ("code=hunter2&c%6fde=hunter2", INVALID),
        ("code=hunter2%FF%FE", INVALID),
        ("code=hunter2%0d%0aX-Forwarded-For:+hunter2", INVALID),
        ("code=a&appid=hunter2", Problem(400, "unknown_app")),
    ] {
        cases.push(Case::post(FORM, fields, expected));
        cases.push(Case::asked("GET", &format!("/login?{fields}"), expected));
    }
    // Not percent-encoding, and so itself: WeChat is to judge.
    cases.push(Case::post(FORM, "code=hunter2%zz%", CODE_INVALID));
    cases.push(Case::asked(
        "GET",
        "/login?code=hunter2%zz%25%",
        CODE_INVALID,
    ));
    for method in ["GET", "POST"] {
        let target = "/login?code=a&p%61ssword=hunter2";
        cases.push(Case::asked(
            method,
            target,
            Problem(400, "credentials_in_query"),
        ));
    }
    cases.push(Case::post(FORM, "code=a&password=hunter2", INVALID));
    cases.push(Case::post(
        FORM,
        format!("code={}", "a".repeat(1024 * 1024)),
        TOO_LARGE,
    ));
    cases.push(Case::asked(
        "GET",
        &format!("/login?code={}", "a".repeat(6000)),
        INVALID,
    ));
    cases.push(Case::asked(
        "GET",
        &format!("/login?code={}", "a".repeat(9000)),
        LONG_HEAD,
    ));
    cases
}

fn content_types() -> Vec<Case> {
    let body = "{\"code\":\"hunter2\"}";
    let mut cases = vec![Case::asked("POST", "/login", UNSUPPORTED)];
    for wrong in [
        "text/plain",
        "text/json",
        "application/json/hunter2",
        "hunter2",
        "",
        "multipart/form-data; boundary=x",
    ] {
        cases.push(Case::post(wrong, body, UNSUPPORTED));
    }
    for right in [
        "APPLICATION/JSON",
        "application/json;charset=UTF-8",
        " application/json ; charset=hunter2",
    ] {
        // Each code is sent once, or the next is one that was used.
        cases.push(Case::post(
            right,
            format!("{{\"code\":\"{MARKED} {right}\"}}"),
            CODE_INVALID,
        ));
    }
    cases.push(Case::post("application/json", "code=hunter2", INVALID));
    cases.push(Case::post(FORM, body, INVALID));
    let gzip = format!(
        "Content-Encoding: gzip\r\nContent-Length: {}\r\n",
        body.len() - 1
    );
    cases.push(Case::framed(
        "a body that is called gzip",
        &gzip,
        &body[1..],
        UNSUPPORTED,
    ));
    cases
}

fn methods() -> Vec<Case> {
    let mut cases = vec![Case::asked("get", "/login", Use(LOG_IN))];
    cases.extend(other_methods("/login", LOG_IN));
    for path in ["/openapi.json", "/docs/index.html"] {
        cases.extend(other_methods(path, READ));
    }
    for path in [
        "/.well-known/jwks.json",
        "/.well-known/openid-configuration",
    ] {
        let is_preflight = |case: &Case| case.request.starts_with(b"OPTIONS");
        cases.extend(other_methods(path, READ).filter(|case| !is_preflight(case)));
    }
    cases
}

fn targets() -> Vec<Case> {
    const NOWHERE: &str = "
        /hunter2 /login/ /login%00 /%2e%2e/%2e%2e/etc/passwd /../../etc/passwd /docs/../../hunter2
        /docs/%2e%2e%2fhunter2 /metrics /_simulator/people http://hunter2.example/hunter2 *";
    let nowhere = NOWHERE.split_whitespace();
    let mut cases: Vec<_> = nowhere
        .map(|target| Case::asked("GET", target, NOT_FOUND))
        .collect();
    cases.push(Case::asked("GET", "http://hunter2.example/login", INVALID));
    cases.push(Case::asked(
        "GET",
        &format!("/{}", "a".repeat(6000)),
        NOT_FOUND,
    ));
    cases.push(Case::asked("CONNECT", "hunter2.example:443", NOT_FOUND));
    cases.push(Case::asked("GET", "/login?code=\u{ff}hunter2", Bare(400)));
    cases
}

fn heads() -> Vec<Case> {
    let with = |headers: &str| head_of("GET", "/login", headers);
    let many: String = (0..200)
        .map(|number| format!("X-{number}: hunter2\r\n"))
        .collect();
    let tls =
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03hunter2hunter2hunter2hunter2\x00\x00\x02\x13\x01\x01\x00\r\n\r\n";
    vec![
        Case::new("a TLS hello", tls, Bare(400)),
        Case::new(
            "the preface of HTTP/2",
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            Bare(400),
        ),
        Case::new("garbage", "\0\u{1}hunter2 \r\n\r\n", Bare(400)),
        Case::new("HTTP/0.9", "GET /login\r\n\r\n", Bare(400)),
        Case::new("HTTP/1.0", "GET /login HTTP/1.0\r\n\r\n", INVALID),
        Case::new(
            "a space in the target",
            "GET /login?code=hunter2 x HTTP/1.1\r\nHost: a\r\n\r\n",
            Bare(400),
        ),
        Case::new(
            "no host",
            "GET /login HTTP/1.1\r\nConnection: close\r\n\r\n",
            Bare(400),
        ),
        Case::new("200 headers", with(&many), Bare(431)),
        Case::new(
            "a header of 9 KiB",
            with(&format!("X-Long: {}\r\n", "a".repeat(9 * 1024))),
            LONG_HEAD,
        ),
        Case::new(
            "a header of 200 KiB",
            with(&format!("X-Long: {}\r\n", "a".repeat(200 * 1024))),
            Bare(431),
        ),
        Case::new(
            "a space before the colon",
            with("Content-Length : 5\r\n"),
            Bare(400),
        ),
        Case::new("a NUL in a value", with("X-Long: hunter2\0\r\n"), Bare(400)),
        Case::new(
            "a folded header",
            with("X-Long: a\r\n hunter2\r\n"),
            Bare(400),
        ),
    ]
}

/// Shapes on which two servers in a row may disagree where a request ends. `tail` is a second request, for who does.
fn framings() -> Vec<Case> {
    const TAIL: &str = "0\r\n\r\nGET /.well-known/jwks.json HTTP/1.1\r\nHost: a\r\n\r\n";
    let chunked = "Transfer-Encoding: chunked\r\n";
    let mut cases: Vec<_> = [
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length: 5, 6\r\n",
        "Content-Length: +5\r\n",
        "Content-Length: -5\r\n",
        "Content-Length: 99999999999999999999999\r\n",
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        "Transfer-Encoding: \x0bchunked\r\n",
    ]
    .into_iter()
    .map(|headers| Case::framed(headers, headers, TAIL, Bare(400)))
    .collect();
    let million = format!("100000\r\n{}\r\n0\r\n\r\n", "x".repeat(1024 * 1024));
    for (name, body, expected) in [
        ("no chunk", "0\r\n\r\n", INVALID),
        (
            "a chunk size that is no number",
            "hunter2\r\n{}\r\n0\r\n\r\n",
            INVALID,
        ),
        (
            "a chunk size beyond 64 bits",
            "ffffffffffffffff0\r\n{}\r\n0\r\n\r\n",
            INVALID,
        ),
        (
            "a chunk longer than its size",
            "1\r\n{}\r\n0\r\n\r\n",
            INVALID,
        ),
        ("a chunk of 1 MiB", &million, TOO_LARGE),
    ] {
        cases.push(Case::framed(name, chunked, body, expected));
    }
    let unread = head_of("POST", "/hunter2", chunked);
    cases.push(Case::new(
        "a chunk that nobody reads",
        format!("{unread}hunter2\r\n{{}}\r\n0\r\n\r\n"),
        NOT_FOUND,
    ));
    cases
}

/// Requests that are no HTTP or could be read in two ways, as a request for another listener's `path`; with names.
pub(crate) fn no_http(path: &str) -> Vec<(String, String)> {
    let asked = |case: Case| {
        (
            case.name,
            String::from_utf8_lossy(&case.request).replace("/login", path),
        )
    };
    [heads(), framings()]
        .concat()
        .into_iter()
        .map(asked)
        .collect()
}

fn slow() -> Vec<Case> {
    let request = head_of(
        "POST",
        "/login",
        "Content-Type: application/json\r\nContent-Length: 100\r\n",
    );
    let head = request.len();
    let body = format!("{request}{{\"code\":\"{MARKED}{}", "x".repeat(90));
    let stopped = format!("{request}{{");
    vec![
        Case::new("nothing is sent", "", Bare(408)).slowly(0, SLOW_HEAD),
        Case::new("a head of a byte a second", body.clone(), Bare(408)).slowly(0, SLOW_HEAD),
        Case::new("a head that stops", &request[..30], Bare(408)).slowly(30, SLOW_HEAD),
        Case::new(
            "a body of a byte a second",
            body,
            Problem(408, "invalid_request"),
        )
        .slowly(head, SLOW_BODY),
        Case::new(
            "a body that stops",
            stopped,
            Problem(408, "invalid_request"),
        )
        .slowly(head + 1, SLOW_BODY),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_strangers_send_is_answered_4xx_or_closed_and_the_next_login_succeeds() {
    let bed = TestBed::builder().env("RUST_LOG", "trace").start().await;
    let lin = bed.log_in("lin").await.expect_login();
    let token = lin.member("access_token");
    let (public, admin) = (bed.service().public, bed.service().admin);
    let prompt = [
        json_bodies(),
        forms_and_queries(),
        content_types(),
        methods(),
        targets(),
        heads(),
        framings(),
        by_token::cases(&token),
    ];
    let in_turn = async {
        for case in prompt.iter().flatten() {
            case.check(public).await;
        }
        let nowhere = ["/", "/login?code=hunter2", "/hunter2"]
            .map(|path| Case::asked("GET", path, NOT_FOUND));
        let probes = ["/livez", "/readyz", "/metrics"]
            .into_iter()
            .flat_map(|path| other_methods(path, READ));
        for case in nowhere.into_iter().chain(probes) {
            case.check(admin).await;
        }
    };
    let slow = [slow(), by_token::slow(&token)].concat();
    let at_once = join_all(slow.iter().map(|case| case.check(public)));
    tokio::join!(in_turn, at_once);

    assert_eq!(
        bed.log_in("lin").await.expect_login().member("user_id"),
        lin.member("user_id")
    );
    let (log, metrics) = (bed.service().log(), bed.service().metrics().await);
    assert!(
        !log.contains(MARKED) && !metrics.contains(MARKED),
        "{log}\n{metrics}"
    );
    bed.service().expect_no_faults().await;
}

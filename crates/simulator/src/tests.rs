//! The simulator over real sockets: what a client sees of each fault, and the control API.

use std::any::Any;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use actix_web::{HttpRequest, HttpServer, dev::Extensions, rt};
use serde_json::{Value, json};
use socket2::{SockRef, Socket};
use tokio::sync::oneshot;

use super::{App, World, apps::Kind, routes};

mod other_platforms;

const APPID: &str = "wx0123456789abcdef";
const SECRET: &str = "00112233445566778899aabbccddeeff";
/// Longer than any test here takes, so that a broken test fails and does not hang.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running simulator, stopped when dropped.
struct Simulator {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

fn keep_socket(stream: &dyn Any, data: &mut Extensions) {
    let stream = stream
        .downcast_ref::<rt::net::TcpStream>()
        .expect("a TCP connection");
    data.insert(SockRef::from(stream).try_clone().expect("a second handle"));
}

fn reset_on_close(request: &HttpRequest) {
    let socket = request.conn_data::<Socket>().expect("a socket");
    socket
        .set_linger(Some(Duration::ZERO))
        .expect("a socket that is open");
}

/// An answer taken apart.
struct Answer {
    status: u16,
    head: String,
    body: String,
    bytes: Vec<u8>,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("not JSON: {}", self.body))
    }
}

impl Simulator {
    fn start() -> Self {
        Self::with_apps(vec![App {
            id: APPID.parse().expect("an AppID"),
            secret: SECRET.to_owned(),
            unionid: true,
            kind: Kind::default(),
        }])
    }

    fn with_apps(apps: Vec<App>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("its address");
        let (stop, stopped) = oneshot::channel::<()>();
        let world = World::new(apps, 7);
        let serve = move || {
            let app =
                move || actix_web::App::new().configure(routes(world.clone(), reset_on_close));
            let server = HttpServer::new(app)
                .on_connect(keep_socket)
                .h1_allow_half_closed(false)
                .workers(1);
            let stopped = async { drop(stopped.await) };
            rt::System::new().block_on(
                server
                    .shutdown_timeout(1)
                    .shutdown_signal(stopped)
                    .listen(listener)?
                    .run(),
            )
        };
        Self {
            address,
            stop: Some(stop),
            thread: Some(thread::spawn(serve)),
        }
    }

    /// Sends a request and reads until the far end closes.
    fn raw(&self, request: &str) -> (Vec<u8>, io::Result<()>) {
        let mut stream = TcpStream::connect(self.address).expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        stream
            .write_all(request.as_bytes())
            .expect("a request sent");
        let mut bytes = Vec::new();
        let end = stream.read_to_end(&mut bytes).map(|_| ());
        (bytes, end)
    }

    fn send(&self, method: &str, target: &str, body: &str) -> Answer {
        self.answer(&request(method, target, body))
    }

    fn answer(&self, request: &str) -> Answer {
        let (mut bytes, end) = self.raw(request);
        end.expect("an orderly close");
        let end = bytes
            .windows(4)
            .position(|window| window == b"\r\n\r\n")
            .expect("a head");
        let body = bytes.split_off(end + 4);
        let head = String::from_utf8(bytes).expect("text");
        let status = head
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok())
            .expect("a status");
        let text = String::from_utf8_lossy(&body).into_owned();
        Answer {
            status,
            head: head.to_ascii_lowercase(),
            body: text,
            bytes: body,
        }
    }

    fn control(&self, method: &str, path: &str, body: &Value) -> Answer {
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        self.send(method, &format!("/_simulator{path}"), &body)
    }

    fn fault(&self, fault: Value) {
        let answer = self.control("PUT", "/faults", &json!({"faults": [fault]}));
        assert_eq!(answer.status, 200, "{}", answer.body);
    }

    fn code(&self) -> String {
        let answer = self.control("POST", "/codes", &json!({"person": "lin"}));
        answer.json()["codes"][0]
            .as_str()
            .expect("a code")
            .to_owned()
    }

    fn login(&self, code: &str) -> Answer {
        self.send("GET", &target(code), "")
    }

    fn last_entry(&self) -> Value {
        let page = self.control("GET", "/journal", &Value::Null).json();
        page["entries"]
            .as_array()
            .and_then(|entries| entries.last())
            .expect("an entry")
            .clone()
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn target(code: &str) -> String {
    format!(
        "/sns/jscode2session?appid={APPID}&secret={SECRET}&js_code={code}&grant_type=authorization_code"
    )
}

fn request(method: &str, target: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "{method} {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    )
}

#[test]
fn an_exchange_is_answered_as_wechat_does_and_journalled_masked() {
    let simulator = Simulator::start();
    let code = simulator.code();
    let answer = simulator.login(&code);
    assert_eq!(answer.status, 200);
    assert!(
        answer.head.contains("content-type: text/plain\r\n"),
        "{}",
        answer.head
    );
    let session = answer.json();
    let key = session["session_key"].as_str().expect("a key");

    let entry = simulator.last_entry();
    assert!(
        !entry.to_string().contains(key) && !entry.to_string().contains(SECRET),
        "{entry}"
    );
    assert_eq!(entry["query"]["js_code"], code);
    assert_eq!(
        (&entry["seq"], &entry["status"], &entry["fault"]),
        (&json!(1), &json!(200), &Value::Null)
    );
    let people = simulator.control("GET", "/people", &Value::Null).json();
    assert_eq!(people["people"][0]["apps"][APPID], session);

    let answer = simulator.send("POST", "/cgi-bin/stable_token", "{}");
    assert!(
        answer
            .head
            .contains("content-type: application/json; encoding=utf-8"),
        "{}",
        answer.head
    );
}

#[test]
fn user_data_is_handed_over_by_the_names_that_wechat_gives_it() {
    let simulator = Simulator::start();
    simulator.login(&simulator.code());
    let members = |kind: &str| {
        let handed = simulator
            .control(
                "POST",
                "/user-data",
                &json!({"person": "lin", "kind": kind}),
            )
            .json();
        let names = handed.as_object().expect("an object").keys().cloned();
        names.collect::<Vec<_>>()
    };
    assert_eq!(
        members("user_info"),
        ["encryptedData", "iv", "rawData", "signature"]
    );
    assert_eq!(members("phone"), ["encryptedData", "iv"]);
}

#[test]
fn codes_sent_twice_are_counted_and_reset_forgets_them() {
    let simulator = Simulator::start();
    let (twice, once) = (simulator.code(), simulator.code());
    for code in [&twice, &twice, &once, "stranger", "stranger", "stranger"] {
        simulator.login(code);
    }
    let stats = simulator.control("GET", "/stats", &Value::Null).json();
    assert_eq!(stats["exchanges_ok"], 2);
    assert_eq!(stats["requests"]["/sns/jscode2session"], 6);
    assert_eq!(stats["exchanges_by_code"], json!({twice: 2, "stranger": 3}));

    simulator.fault(json!({"kind": "html"}));
    assert_eq!(simulator.control("POST", "/reset", &json!({})).status, 204);
    let stats = simulator.control("GET", "/stats", &Value::Null).json();
    assert_eq!(
        (&stats["exchanges_ok"], &stats["exchanges_by_code"]),
        (&json!(0), &json!({}))
    );
    assert_eq!(
        simulator.control("GET", "/faults", &Value::Null).json(),
        json!({"faults": []})
    );
    assert_eq!(simulator.login(&once).json()["errcode"], 40029);
}

#[test]
fn a_reset_comes_before_any_byte_and_spends_the_code_only_if_told_to() {
    let simulator = Simulator::start();
    for (after, errcode) in [(false, Value::Null), (true, json!(40163))] {
        let code = simulator.code();
        simulator.fault(json!({"kind": "reset", "after": after, "times": 1}));
        let (received, end) = simulator.raw(&request("GET", &target(&code), ""));
        assert_eq!(received, b"");
        assert_eq!(end.expect_err("a reset").kind(), ErrorKind::ConnectionReset);
        let entry = simulator.last_entry();
        assert_eq!(
            (&entry["fault"], &entry["status"]),
            (&json!("reset"), &Value::Null)
        );
        assert_eq!(simulator.login(&code).json()["errcode"], errcode);
    }
}

#[test]
fn what_replaces_the_answer_leaves_the_code_unspent() {
    let simulator = Simulator::start();
    let code = simulator.code();
    for (fault, status, content_type, beginning) in [
        (
            json!({"kind": "errcode", "errcode": -1}),
            200,
            "text/plain",
            r#"{"errcode":-1,"errmsg":"system error, rid: "#,
        ),
        (json!({"kind": "html"}), 200, "text/html", "<html>"),
        (
            json!({"kind": "status", "status": 502}),
            502,
            "text/html",
            "<html>",
        ),
        (json!({"kind": "empty"}), 200, "text/plain", ""),
        (json!({"kind": "garbage"}), 200, "text/plain", "errcode=0"),
        (
            json!({"kind": "huge"}),
            200,
            "text/plain",
            r#"{"openid":"oHuge","session_key":"AAAA"#,
        ),
    ] {
        simulator.fault(fault.clone());
        let answer = simulator.login(&code);
        assert_eq!(answer.status, status, "{fault}");
        assert!(
            answer
                .head
                .contains(&format!("content-type: {content_type}")),
            "{fault}: {}",
            answer.head
        );
        assert!(
            answer.body.starts_with(beginning),
            "{fault}: {:.200}",
            answer.body
        );
        assert_eq!(answer.body.is_empty(), fault["kind"] == "empty");
        assert_eq!(
            answer.body.len() == 10 * 1024 * 1024,
            fault["kind"] == "huge"
        );
        assert_eq!(simulator.last_entry()["fault"], fault["kind"]);
    }
    assert_eq!(
        simulator.control("DELETE", "/faults", &Value::Null).status,
        204
    );
    assert!(simulator.login(&code).json()["openid"].is_string());
}

#[test]
fn a_truncated_answer_is_half_of_the_real_one() {
    let simulator = Simulator::start();
    let code = simulator.code();
    simulator.fault(json!({"kind": "truncated", "times": 1}));
    let answer = simulator.login(&code);
    let promised = answer
        .head
        .split("content-length: ")
        .nth(1)
        .and_then(|rest| rest.lines().next());
    let promised: usize = promised
        .and_then(|length| length.parse().ok())
        .expect("a length");
    assert_eq!(answer.body.len(), promised / 2);
    assert!(answer.body.starts_with(r#"{"session_key":""#));
    assert_eq!(simulator.login(&code).json()["errcode"], 40163);
}

#[test]
fn latency_delays_the_real_answer_and_who_gives_up_has_spent_the_code() {
    let simulator = Simulator::start();
    let code = simulator.code();
    simulator.fault(json!({"kind": "latency", "ms": 80}));
    let asked = Instant::now();
    assert!(simulator.login(&code).json()["openid"].is_string());
    assert!(asked.elapsed() >= Duration::from_millis(80));
    let entry = simulator.last_entry();
    assert!(
        entry["fault"] == "latency" && entry["took_ms"].as_f64() >= Some(80.0),
        "{entry}"
    );

    simulator.fault(json!({"kind": "latency", "ms": 60_000, "times": 1}));
    let (code, asked) = (simulator.code(), Instant::now());
    let mut stream = TcpStream::connect(simulator.address).expect("a connection");
    stream
        .set_read_timeout(Some(Duration::from_millis(200)))
        .expect("a socket");
    stream
        .write_all(request("GET", &target(&code), "").as_bytes())
        .expect("a request sent");
    assert_eq!(
        stream.read(&mut [0; 1]).expect_err("no answer yet").kind(),
        ErrorKind::WouldBlock
    );
    drop(stream);
    let entry = simulator.last_entry();
    assert!(
        entry["query"]["js_code"] == code && entry["took_ms"].as_f64() >= Some(60_000.0),
        "{entry}"
    );
    assert_eq!(simulator.login(&code).json()["errcode"], 40163);
    assert!(asked.elapsed() < PATIENCE);
}

#[test]
fn a_stalled_request_is_not_answered_and_ends_with_its_client() {
    let simulator = Simulator::start();
    simulator.fault(json!({"kind": "stall", "path": "/sns/jscode2session"}));
    let mut stream = TcpStream::connect(simulator.address).expect("a connection");
    stream
        .write_all(request("GET", &target("any"), "").as_bytes())
        .expect("a request sent");
    stream
        .set_read_timeout(Some(Duration::from_millis(200)))
        .expect("a socket");
    let error = stream.read(&mut [0; 1]).expect_err("no answer");
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
    assert_eq!(simulator.last_entry()["fault"], "stall");

    stream
        .shutdown(std::net::Shutdown::Write)
        .expect("a goodbye");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
    assert_eq!(stream.read(&mut [0; 1]).expect("an orderly close"), 0);
}

#[test]
fn a_drip_is_a_byte_a_second() {
    let simulator = Simulator::start();
    simulator.fault(json!({"kind": "drip"}));
    let mut stream = TcpStream::connect(simulator.address).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
    let asked = Instant::now();
    stream
        .write_all(request("GET", &target("any"), "").as_bytes())
        .expect("a request sent");
    let mut received = String::new();
    while !received.ends_with("\r\n\r\n{\"") {
        let mut byte = [0; 1];
        assert_eq!(stream.read(&mut byte).expect("a byte"), 1, "{received}");
        received.push(char::from(byte[0]));
    }
    assert!(asked.elapsed() >= Duration::from_secs(2));
}

#[test]
fn access_tokens_end_on_request() {
    let simulator = Simulator::start();
    let wanted =
        json!({"grant_type": "client_credential", "appid": APPID, "secret": SECRET}).to_string();
    for (how, errcode) in [("revoke", 40001), ("expire", 42001)] {
        let token = simulator
            .send("POST", "/cgi-bin/stable_token", &wanted)
            .json()["access_token"]
            .clone();
        let asked = format!(
            "/wxa/checksession?access_token={}",
            token.as_str().expect("a token")
        );
        assert_eq!(
            simulator.send("GET", &asked, "").json()["errcode"],
            41009,
            "the token is good"
        );
        let ended = simulator
            .control(
                "POST",
                "/access-tokens",
                &json!({how: true, "appid": APPID}),
            )
            .json();
        assert_eq!(ended, json!({"ended": 1}));
        assert_eq!(simulator.send("GET", &asked, "").json()["errcode"], errcode);
    }
}

#[test]
fn a_mini_program_code_is_a_jpeg_over_http_and_meets_faults_as_other_calls_do() {
    let simulator = Simulator::start();
    let wanted =
        json!({"grant_type": "client_credential", "appid": APPID, "secret": SECRET}).to_string();
    let token = simulator
        .send("POST", "/cgi-bin/stable_token", &wanted)
        .json()["access_token"]
        .clone();
    let path = "/wxa/getwxacodeunlimit";
    let target = format!("{path}?access_token={}", token.as_str().expect("a token"));
    let ask = || {
        simulator.send(
            "POST",
            &target,
            r#"{"scene":"WDJBMJHT","page":"pages/scan/index"}"#,
        )
    };
    let code = ask();
    let is_jpeg = code.bytes.starts_with(&[0xff, 0xd8]) && code.bytes.ends_with(&[0xff, 0xd9]);
    assert!(
        code.status == 200 && code.head.contains("content-type: image/jpeg\r\n") && is_jpeg,
        "{}",
        code.head
    );
    let entry = simulator.last_entry();
    assert_eq!(
        entry["body"],
        format!("({} bytes of image/jpeg)", code.bytes.len())
    );
    assert!(
        entry["path"] == path && !entry.to_string().contains(token.as_str().expect("a token")),
        "{entry}"
    );

    for errcode in [-1, 45009, 40001] {
        simulator.fault(json!({"kind": "errcode", "errcode": errcode, "path": path, "times": 1}));
        let refused = ask();
        assert!(
            refused
                .head
                .contains("content-type: application/json; encoding=utf-8\r\n"),
            "{}",
            refused.head
        );
        assert_eq!(
            (refused.status, &refused.json()["errcode"]),
            (200, &json!(errcode))
        );
    }
    simulator.fault(json!({"kind": "truncated", "path": path, "appid": APPID, "times": 1}));
    assert_eq!(ask().bytes, code.bytes[..code.bytes.len() / 2]);
    let stats = simulator.control("GET", "/stats", &Value::Null).json();
    assert_eq!(stats["requests"][path], 5);

    simulator.fault(json!({"kind": "stall", "path": path}));
    let mut stream = TcpStream::connect(simulator.address).expect("a connection");
    stream
        .set_read_timeout(Some(Duration::from_millis(200)))
        .expect("a socket");
    stream
        .write_all(request("POST", &target, "{}").as_bytes())
        .expect("a request sent");
    assert_eq!(
        stream.read(&mut [0; 1]).expect_err("no answer").kind(),
        ErrorKind::WouldBlock
    );
}

#[test]
#[expect(
    clippy::too_many_lines,
    reason = "the table has a row for each mistake"
)]
fn mistakes_on_the_control_side_are_named() {
    let simulator = Simulator::start();
    for (method, path, body, status, said) in [
        ("POST", "/codes", json!({}), 400, "missing field `person`"),
        (
            "POST",
            "/codes",
            json!({"person": ""}),
            400,
            "a person's name",
        ),
        (
            "POST",
            "/codes",
            json!({"person": "lin", "count": 10_001}),
            400,
            "count must be",
        ),
        (
            "POST",
            "/codes",
            json!({"person": "lin", "appid": "wx1"}),
            400,
            APPID,
        ),
        (
            "POST",
            "/codes",
            json!({"person": "lin", "age": 1}),
            400,
            "unknown field `age`",
        ),
        (
            "POST",
            "/user-data",
            json!({"person": "lin", "kind": "phone"}),
            400,
            "exchange a login code first",
        ),
        (
            "POST",
            "/user-data",
            json!({"person": "lin", "kind": "face"}),
            400,
            "unknown variant `face`",
        ),
        (
            "POST",
            "/user-data",
            json!({"person": "lin", "kind": "phone", "age": 1}),
            400,
            "unknown field `age`",
        ),
        (
            "POST",
            "/user-data",
            json!({"person": "lin", "kind": "steps", "days": 0}),
            400,
            "days must be",
        ),
        (
            "PUT",
            "/people/lin",
            json!({"phone": "+86 138"}),
            400,
            "11 digits",
        ),
        ("POST", "/apps", json!({"appid": "wx1"}), 400, APPID),
        (
            "POST",
            "/apps",
            json!({"secret": ""}),
            400,
            "1 to 128 visible",
        ),
        (
            "POST",
            "/apps",
            json!({"pages": ["/pages/index"]}),
            400,
            "without a leading /",
        ),
        (
            "POST",
            "/apps",
            json!({"pages": ["pages/index?a=1"]}),
            400,
            "without a leading /",
        ),
        (
            "POST",
            "/apps",
            json!({"secrets": 2}),
            400,
            "unknown field `secrets`",
        ),
        (
            "PUT",
            "/faults",
            json!({"faults": [{"kind": "latency"}]}),
            400,
            "faults[0]: ms is missing",
        ),
        ("POST", "/access-tokens", json!({}), 400, "either"),
        (
            "POST",
            "/access-tokens",
            json!({"revoke": true, "expire": true}),
            400,
            "either",
        ),
        (
            "POST",
            "/access-tokens",
            json!({"revoke": true, "appid": "wx1"}),
            400,
            APPID,
        ),
        ("GET", "/journal?since=x", Value::Null, 400, "invalid digit"),
        ("GET", "/codes", Value::Null, 405, "use POST"),
        (
            "GET",
            "/nowhere",
            Value::Null,
            404,
            "not a path of the simulator",
        ),
    ] {
        let answer = simulator.control(method, path, &body);
        assert_eq!(answer.status, status, "{path} {body}: {}", answer.body);
        let error = answer.json()["error"]
            .as_str()
            .expect("an error")
            .to_owned();
        assert!(error.contains(said), "{path} {body}: {error}");
    }
    assert_eq!(simulator.send("GET", "/sns/userinfos", "").status, 404);
}

#[test]
fn a_rotated_secret_is_taken_beside_the_old_one_until_that_is_dropped() {
    let simulator = Simulator::start();
    let exchanged = |secret: &str| {
        let target = target(&simulator.code()).replace(SECRET, secret);
        simulator.send("GET", &target, "").json()["errcode"].clone()
    };
    let change = |wanted: Value| simulator.control("POST", "/apps", &wanted).json();
    assert_eq!(exchanged("n3w"), 40125);
    let both = change(json!({"appid": APPID, "secret": "n3w"}));
    assert_eq!(
        both["app_key"].as_str().map(str::len),
        Some(32),
        "the key of payments"
    );
    assert_eq!(
        [&both["appid"], &both["secrets"], &both["unionid"]],
        [&json!(APPID), &json!(2), &json!(true)]
    );
    assert_eq!(
        [exchanged(SECRET), exchanged("n3w")],
        [Value::Null, Value::Null]
    );
    assert_eq!(change(json!({"drop_old_secrets": true}))["secrets"], 1);
    assert_eq!(
        [exchanged(SECRET), exchanged("n3w")],
        [json!(40125), Value::Null]
    );
    assert_eq!(
        change(json!({"secret": SECRET, "drop_old_secrets": true}))["secrets"],
        1
    );
    assert_eq!(
        [exchanged(SECRET), exchanged("n3w")],
        [Value::Null, json!(40125)]
    );
}

#[test]
fn a_unionid_appears_when_it_is_switched_on_and_is_the_one_of_before() {
    let simulator = Simulator::start();
    let unionid = || simulator.login(&simulator.code()).json()["unionid"].clone();
    let before = unionid();
    assert!(before.is_string());
    simulator.control("POST", "/apps", &json!({"unionid": false}));
    assert_eq!(unionid(), Value::Null);
    let people = simulator.control("GET", "/people", &Value::Null).json();
    assert_eq!(people["people"][0]["apps"][APPID]["unionid"], Value::Null);
    simulator.control("POST", "/apps", &json!({"unionid": true}));
    assert_eq!(unionid(), before);

    simulator.control("POST", "/apps", &json!({"platform": "another"}));
    let moved = unionid();
    assert_eq!(
        (
            moved.as_str().map(str::len),
            moved == before,
            unionid() == moved
        ),
        (Some(28), false, true)
    );
    simulator.control("POST", "/apps", &json!({"platform": ""}));
    assert_eq!(unionid(), before);
}

#[test]
fn many_codes_are_of_one_person_or_of_as_many_people() {
    let simulator = Simulator::start();
    let names = |distinct: bool| {
        let wanted = json!({"person": "王子轩", "count": 3, "distinct_people": distinct});
        let codes = simulator.control("POST", "/codes", &wanted).json();
        assert_eq!(codes["codes"].as_array().map(Vec::len), Some(3));
        let people = simulator.control("GET", "/people", &Value::Null).json();
        let people = people["people"].as_array().expect("people").clone();
        people
            .iter()
            .map(|person| person["name"].as_str().expect("a name").to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(names(false), ["王子轩"]);
    assert_eq!(names(true), ["王子轩", "王子轩-0", "王子轩-1", "王子轩-2"]);
    let changed = simulator
        .control(
            "PUT",
            "/people/%E7%8E%8B%E5%AD%90%E8%BD%A9",
            &json!({"blocked": true}),
        )
        .json();
    assert_eq!(
        (&changed["name"], &changed["blocked"]),
        (&json!("王子轩"), &json!(true))
    );
}

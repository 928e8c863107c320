//! Audit events: their form is OCSF 1.8, the story of an attack can be read back from them, and none is lost silently.

mod file;
mod schema;

use std::net::IpAddr;

use self::schema::Schema;
use crate::support::audit::is_audit;
use crate::support::prelude::*;
use crate::support::scan::{Scan, two_pages};

const SECRET: &str = "planted-secret-of-an-operator-5c3a9e";

/// A service whose audit events go into a file, and whose operators have a secret.
struct Watched {
    bed: TestBed,
    folder: TempDir,
}

impl Watched {
    async fn start(builder: Builder) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let audit = format!("file:{}", folder.path().join("audit.jsonl").display());
        let operators =
            format!("on-call {SECRET} read,operate\nshop {SECRET}-of-the-shop wechat\n");
        Self {
            bed: builder
                .env("WXMINT_AUDIT", &audit)
                .operators(&operators)
                .start()
                .await,
            folder,
        }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("audit.jsonl")
    }

    fn events(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.path()).unwrap_or_default();
        // The last line may be half written.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no event: {line}")))
            .collect()
    }

    /// The first event of this name with this outcome. It is written after the answer.
    async fn event(&self, code: &str, detail: Option<&str>) -> Value {
        let is_it = |event: &Value| {
            event["metadata"]["event_code"] == code && event["status_detail"] == json!(detail)
        };
        eventually(&format!("{code} {detail:?}"), BUSY, async || {
            self.events().into_iter().find(is_it)
        })
        .await
    }

    async fn ask(&self, method: &str, path: &str, secret: &str) -> Answer {
        let body = match path.rsplit('/').next() {
            Some("signature") => json!({"data": "{}"}),
            Some("access-token") if method == "POST" => json!({"invalid": "another"}),
            _ => Value::Null,
        };
        self.bed
            .service()
            .operate(method, path, secret, &body)
            .await
    }

    /// `wxmint users`, which notes what it does in the same file.
    fn users(&self, words: &[&str]) {
        let mut command = command_on(&self.bed.redis.url(), &[&["users"], words].concat());
        command.env("WXMINT_AUDIT", format!("file:{}", self.path().display()));
        Ended::of(&mut command, "").expect_success();
    }
}

/// The events that the table of docs/operators.md names, each with its class.
fn documented() -> BTreeSet<(i64, String)> {
    let page = fs::read_to_string(repository("docs/operators.md")).expect("readable");
    let table = page
        .split("| `metadata.event_code` |")
        .nth(1)
        .and_then(|rest| rest.split("\n\n").next());
    let rows = table
        .expect("the table")
        .lines()
        .filter(|line| line.starts_with("| `"));
    let named = rows.flat_map(|row| {
        let [names, class] = [1, 2].map(|column| row.split('|').nth(column).expect("a column"));
        let class: i64 = class.trim()[..4].parse().expect("a class");
        names
            .split('`')
            .skip(1)
            .step_by(2)
            .map(move |name| (class, name.to_owned()))
    });
    named.collect()
}

/// Has each act of a person and of an operator succeed, and some refused.
#[expect(clippy::too_many_lines, reason = "it has a row for each act")]
async fn every_act(watched: &Watched) {
    let service = watched.bed.service();
    let login = watched
        .bed
        .log_in_with("lin", password_of("mei"))
        .await
        .expect_login();
    let (user, token) = (login.member("user_id"), login.member("access_token"));
    service
        .login("made-up-code")
        .await
        .expect_problem(400, "code_invalid");
    every_act_of_a_scan(watched, &login).await;
    for _ in 0..2 {
        assert_eq!(
            service
                .ask("POST", "/logout", &token, &Value::Null)
                .await
                .status,
            204,
            "repeated, too"
        );
    }
    service
        .ask("POST", "/logout", "a.b.c", &Value::Null)
        .await
        .expect_problem(401, "invalid_token");
    let again = watched
        .bed
        .for_good(async || watched.bed.log_in("lin").await)
        .await;
    service
        .unbind(&token)
        .await
        .expect_problem(401, "invalid_token");
    assert_eq!(
        service.unbind(&again.member("access_token")).await.status,
        204
    );
    let last = watched
        .bed
        .for_good(async || watched.bed.log_in_with("lin", password_of("mei")).await)
        .await;
    service
        .ask(
            "POST",
            "/logout",
            &last.member("access_token"),
            &json!({"everywhere": true}),
        )
        .await;
    watched
        .bed
        .for_good(async || watched.bed.log_in("lin").await)
        .await;

    let openid = watched.bed.wechat.openid("lin").await;
    let (of_user, of_person) = (
        format!("/users/{user}"),
        format!("/wechat/{APPID}/people/{openid}"),
    );
    let (in_app, access_token) = (
        format!("{of_user}/wechat/{APPID}"),
        format!("/wechat/{APPID}/access-token"),
    );
    for (method, path, status) in [
        ("GET", of_user.clone(), 200),
        ("GET", format!("{of_user}/wechat"), 200),
        ("GET", format!("/find?q={openid}"), 200),
        ("GET", "/activity".to_owned(), 200),
        ("GET", "/whoami".to_owned(), 200),
        ("GET", "/doctor".to_owned(), 200),
        ("GET", of_person.clone(), 200),
        ("GET", access_token.clone(), 403),
        ("GET shop", access_token.clone(), 200),
        ("POST shop", access_token, 200),
        ("GET shop", format!("{in_app}/encrypt-keys"), 200),
        ("POST shop", format!("{in_app}/signature"), 200),
        ("POST", format!("{of_person}/revoke"), 204),
        ("DELETE", in_app, 204),
        ("GET", of_person.clone(), 404),
        ("DELETE", of_person, 204),
        ("PUT", format!("{of_user}/block"), 204),
        ("DELETE", format!("{of_user}/block"), 204),
        ("POST", format!("{of_user}/revoke"), 204),
    ] {
        let shop = format!("{SECRET}-of-the-shop");
        let secret = if method.ends_with("shop") {
            &shop
        } else {
            SECRET
        };
        let answer = watched
            .ask(method.trim_end_matches(" shop"), &path, secret)
            .await;
        assert_eq!(answer.status, status, "{method} {path}: {answer:?}");
    }
    watched
        .ask("GET", &of_user, "wrong")
        .await
        .expect_problem(401, "invalid_token");
    service
        .ask("POST", "/ssf/poll", SECRET, &json!({}))
        .await
        .expect_problem(401, "invalid_token");
    for words in [&["show", &user][..], &["erase", &user, "--yes"]] {
        watched.users(words);
    }
}

/// One page is let in, and the other is not. Each event names the client and the person, and no event tells a code.
async fn every_act_of_a_scan(watched: &Watched, phone: &Answer) {
    let bed = &watched.bed;
    let [welcome, unwelcome] = [
        Scan::begin(bed, "shop-web").await,
        Scan::begin(bed, "shop-web").await,
    ];
    assert_eq!(bed.look(phone, &welcome.user_code()).await.status, 200);
    bed.approves(phone, "lin", &welcome).await;
    bed.poll(&welcome).await.expect_login();
    assert_eq!(bed.deny(phone, &unwelcome.user_code()).await.status, 204);
    let stranger = [("grant_type", "password"), ("client_id", "nobody")];
    assert_eq!(bed.form("/token", &stranger).await.status, 401);
    let refused = watched
        .event("client_authentication", Some("invalid_request"))
        .await;
    assert_eq!(refused["status_id"], 2, "{refused}");

    let person = watched.event("login", None).await["unmapped"]["person"].clone();
    for (code, by_phone) in [
        ("device_request", false),
        ("device_look", true),
        ("device_approval", true),
        ("device_denial", true),
    ] {
        let event = watched.event(code, None).await;
        let unmapped = &event["unmapped"];
        assert_eq!(
            (&unmapped["client"], &unmapped["app"]),
            (&json!("shop-web"), &json!(APPID)),
            "{event}"
        );
        assert_eq!(event["src_endpoint"]["ip"], "127.0.0.1");
        let (user, who) = if by_phone {
            (phone.json()["user_id"].clone(), person.clone())
        } else {
            Default::default()
        };
        assert_eq!(
            (&event["user"]["uid"], &unmapped["person"]),
            (&user, &who),
            "{event}"
        );
    }
    let text = fs::read_to_string(watched.path())
        .expect("readable")
        .to_uppercase();
    for scan in [welcome, unwelcome] {
        let (user_code, device_code) = (
            scan.user_code(),
            scan.asked.member("device_code").to_uppercase(),
        );
        for code in [&user_code, &user_code.replace('-', ""), &device_code] {
            assert!(!code.is_empty() && !text.contains(code), "{code}: {text}");
        }
    }
}

#[tokio::test]
async fn each_event_of_the_page_is_written_and_is_one_of_ocsf() {
    let watched = Watched::start(TestBed::builder().users(&["mei"]).clients(&two_pages())).await;
    every_act(&watched).await;
    let tokens = watched.bed.configuration.value("WXMINT_ADMIN_TOKENS_FILE");
    let lines = fs::read_to_string(tokens).expect("readable");
    fs::write(tokens, format!("{lines}# changed\n")).expect("our file");
    fs::remove_file(watched.bed.users().path()).expect("our file");
    let schema = Schema::of_fixture();
    // Other tests, and what is only ever refused.
    let elsewhere = [
        (1007, "loss"),
        (3002, "client_authentication"),
        (3002, "site_login"),
        (3002, "site_logout_notice"),
        (3002, "site_renewal"),
        (6003, "find_merchant"),
    ]
    .map(|(class, code)| (class, code.to_owned()));
    let missing = async || {
        let mut missing = documented();
        for event in watched
            .events()
            .iter()
            .filter(|event| event["status_id"] == 1)
        {
            missing.remove(&(
                event["class_uid"].as_i64().expect("a class"),
                schema.check(event).to_owned(),
            ));
        }
        Vec::from_iter(missing) == Vec::from_iter(BTreeSet::from(elsewhere.clone()))
    };
    until("each event", PATIENCE, missing).await;
    let is_refused_reload =
        |event: &Value| event["unmapped"]["what"] == "users" && event["status_id"] == 2;
    until("a refused reload", PATIENCE, async || {
        watched.events().iter().any(is_refused_reload)
    })
    .await;
    let found = watched.events();
    let refused = found.iter().filter(|event| event["status_id"] == 2);
    let refused = refused.map(|event| {
        (
            schema.check(event),
            event["status_detail"].as_str().expect("a reason"),
        )
    });
    let elsewhere =
        |refused: &(&str, &str)| refused.0 == "reload" || *refused == ("login", "binding_required");
    let refused: BTreeSet<_> = refused.filter(|refused| !elsewhere(refused)).collect();
    let expected = [
        ("access_token", "forbidden"),
        ("client_authentication", "invalid_request"),
        ("login", "code_invalid"),
        ("logout", "invalid_token"),
        ("look_up_person", "person_not_found"),
        ("poll", "invalid_token"),
        ("show", "invalid_token"),
        ("unbind", "invalid_token"),
    ];
    assert_eq!(Vec::from_iter(refused), expected);
    let text = fs::read_to_string(watched.path()).expect("readable");
    assert!(
        found
            .iter()
            .any(|event| event["message"] == "logout: everywhere"),
        "{text}"
    );
    // One person, one name, and the name is the same for whoever names the person by openid.
    let people = found
        .iter()
        .filter_map(|event| event["unmapped"]["person"].as_str());
    assert!(
        people.clone().count() > 4
            && people
                .clone()
                .all(|person| Some(person) == people.clone().next()),
        "{text}"
    );
}

#[tokio::test]
async fn in_the_log_the_members_stand_beside_those_of_a_line_whatever_its_format_and_level() {
    let bed = TestBed::builder()
        .env("WXMINT_LOG_ADDRESSES", "true")
        .env("RUST_LOG", "info")
        .start()
        .await;
    let login = bed.log_in("lin").await.expect_login();
    let user = login.member("user_id");
    let is_login = |event: &Value| event["metadata"]["event_code"] == "login";
    let events = || bed.service().events().into_iter();
    let mut event = eventually("the event", BUSY, async || events().find(is_login)).await;
    assert!(
        is_audit(&event) && event["user"]["uid"] == user.as_str(),
        "{event}"
    );
    let is_line = |line: &Value| {
        line["message"]
            .as_str()
            .is_some_and(|text| text.starts_with("login"))
    };
    assert!(
        !events().any(|line| is_line(&line) && !is_audit(&line)),
        "one line for each login"
    );
    let refused = bed
        .login("made-up")
        .await
        .expect_problem(400, "code_invalid");
    let line = eventually("a line", BUSY, async || {
        events().find(|line| is_line(line) && !is_audit(line))
    })
    .await;
    let request_id = refused.header("x-request-id");
    assert_eq!(
        (&line["client"], &line["request_id"]),
        (&json!("127.0.0.1"), &json!(request_id)),
        "{line}"
    );
    let members = event.as_object_mut().expect("an object");
    members
        .retain(|name, _| !["timestamp", "level", "target", "request_id"].contains(&name.as_str()));
    Schema::of_fixture().check(&event);

    let mut command = command_on(&bed.redis.url(), &["users", "revoke", &user]);
    let told = Ended::of(
        command
            .env("WXMINT_LOG_FORMAT", "text")
            .env("RUST_LOG", "off"),
        "",
    )
    .expect_success()
    .stderr;
    let [line, place] = told.lines().collect::<Vec<_>>()[..] else {
        panic!("two lines: {told}")
    };
    assert!(
        place.starts_with(
            "note: the audit event of this command is the JSON line above, and nowhere else"
        ),
        "{place}"
    );
    let event: Value = serde_json::from_str(line).expect("one event");
    assert!(
        is_audit(&event) && event["user"]["uid"] == user.as_str(),
        "{event}"
    );
}

#[tokio::test]
async fn a_request_whose_client_hangs_up_is_noted_and_what_a_stranger_repeats_is_counted_and_told_in_full_at_the_end()
 {
    const TRIES: i64 = 30;
    let mut watched = Watched::start(TestBed::builder().breakable_redis()).await;
    let (service, link) = (watched.bed.service(), watched.bed.redis_link());
    let user = watched.bed.log_in("lin").await.member("user_id");
    let shop = format!("{SECRET}-of-the-shop");
    for (action, method, path, secret, body) in [
        (
            "look_up",
            "GET",
            format!("/users/{user}/wechat"),
            SECRET,
            "",
        ),
        (
            "sign",
            "POST",
            format!("/users/{user}/wechat/{APPID}/signature"),
            &shop,
            r#"{"data":"x"}"#,
        ),
    ] {
        let noted =
            |event: &Value| event["class_uid"] == 6003 && event["metadata"]["event_code"] == action;
        // More than once where another answer of Redis comes before that to this request.
        until(action, PATIENCE, async || {
            link.withhold_from(1);
            let client =
                Impatient::asks(service.admin, &format!("{method} {path}"), secret, body).await;
            until("Redis is asked", PATIENCE, async || link.is_withholding()).await;
            client.hang_up(service).await;
            link.restore().await;
            watched.events().iter().any(noted)
        })
        .await;
    }

    until("Redis is back", PATIENCE, async || {
        watched.bed.log_in("lin").await.status == 200
    })
    .await;
    for number in 0..TRIES {
        watched
            .bed
            .login(&format!("made-up-{number}"))
            .await
            .expect_problem(400, "code_invalid");
    }
    let refused = |event: &Value| event["status_detail"] == "code_invalid";
    until("the first event", BUSY, async || {
        watched.events().iter().any(refused)
    })
    .await;
    assert_eq!(
        watched.events().into_iter().filter(refused).count(),
        1,
        "at most one a minute"
    );
    watched.bed.service().signal(Signal::TERM);
    assert!(watched.bed.services[0].end(PATIENCE).await.success());
    let told: Vec<_> = watched.events().into_iter().filter(refused).collect();
    assert_eq!(
        told.iter()
            .map(|event| event["count"].as_i64().unwrap_or(1))
            .collect::<Vec<_>>(),
        [1, TRIES - 1]
    );
    let [first, last] =
        ["start_time", "end_time"].map(|name| told[1][name].as_i64().expect("milliseconds"));
    assert!(
        told[0]["time"].as_i64() <= Some(first) && first <= last && told[1]["time"] == first,
        "{told:?}"
    );
}

/// Repeated events are folded into one, which tells only what they have in common.
#[tokio::test]
async fn whoever_guesses_a_secret_a_token_or_a_code_is_named_by_address_however_many_addresses_guess()
 {
    const TRIES: i64 = 3;
    let addresses = ["127.0.0.1", "127.0.0.2", "127.0.0.3"];
    let mut watched = Watched::start(TestBed::builder()).await;
    let service = watched.bed.service();
    for address in addresses {
        let client = reqwest::Client::builder()
            .no_proxy()
            .tls_certs_only([])
            .local_address(address.parse::<IpAddr>().ok());
        let client = client.build().expect("a client");
        let http = Http(client, watched.bed.http.1.clone());
        for number in 0..TRIES {
            let guess = format!("guess-{number}-of-{address}");
            let on_admin = format!("http://{}/users/lin", service.admin);
            let by_secret = [
                http.0.get(on_admin),
                http.0.post(service.url("/ssf/poll")).json(&json!({})),
                http.0.post(service.url("/logout")),
            ];
            for request in by_secret {
                http.send(request.bearer_auth(&guess))
                    .await
                    .expect_problem(401, "invalid_token");
            }
            let by_code = http.0.post(service.url("/login"));
            http.send(by_code.json(&json!({"code": guess})))
                .await
                .expect_problem(400, "code_invalid");
        }
    }
    service.signal(Signal::TERM);
    assert!(watched.bed.services[0].end(PATIENCE).await.success());
    let actions = ["login", "logout", "poll", "show"];
    let mut guesses = BTreeMap::<_, i64>::new();
    for event in watched.events() {
        let action = event["metadata"]["event_code"].clone();
        if actions.iter().any(|named| action == *named) {
            let by = (action.to_string(), event["src_endpoint"]["ip"].to_string());
            *guesses.entry(by).or_default() += event["count"].as_i64().unwrap_or(1);
        }
    }
    let expected = actions.into_iter().flat_map(|action| {
        addresses.map(|address| {
            (
                (json!(action).to_string(), json!(address).to_string()),
                TRIES,
            )
        })
    });
    assert_eq!(guesses, expected.collect());
}

/// The command and its output stand in docs/operators.md.
#[tokio::test]
async fn the_story_of_an_attack_is_read_back_by_the_command_of_the_page() {
    let watched = Watched::start(
        TestBed::builder()
            .users(&["mei"])
            .env("WXMINT_LIMIT_USERNAME", "3/1h"),
    )
    .await;
    for _ in 0..3 {
        watched
            .bed
            .log_in_with("wang", wrong_password_of("mei"))
            .await
            .expect_problem(403, "invalid_credentials");
    }
    watched
        .bed
        .log_in_with("wang", wrong_password_of("mei"))
        .await
        .expect_problem(429, "rate_limited");
    // As if the hour had passed.
    let counts =
        "for _, key in ipairs(redis.call('KEYS', '*limit*')) do redis.call('DEL', key) end";
    watched.bed.redis.command::<()>(&["EVAL", counts, "0"]);
    let stolen = watched
        .bed
        .log_in_with("wang", password_of("mei"))
        .await
        .expect_login();
    let user = stolen.member("user_id");
    watched.users(&["revoke", &user]);
    watched
        .bed
        .service()
        .unbind(&stolen.member("access_token"))
        .await
        .expect_problem(401, "invalid_token");
    assert_eq!(
        watched
            .ask("PUT", &format!("/users/{user}/block"), SECRET)
            .await
            .status,
        204
    );
    watched
        .bed
        .log_in("wang")
        .await
        .expect_problem(403, "user_blocked");
    let last = watched.event("login", Some("user_blocked")).await;

    let page = fs::read_to_string(repository("docs/operators.md")).expect("readable");
    let story = page
        .split("```console\n")
        .find(|block| block.starts_with("$ jq -r --arg person"))
        .expect("the story");
    let (command, told) = story
        .split("\n```")
        .next()
        .expect("a block")
        .split_once(" audit.jsonl\n")
        .expect("its output");
    let command = command
        .trim_start_matches("$ ")
        .replace(" mWGqyXBuD4ckxdyN ", " $1 ")
        .replace(" id-of-mei ", " $2 ");
    let person = last["unmapped"]["person"]
        .as_str()
        .expect("a person")
        .to_owned();
    let mut shell = Command::new("sh");
    shell
        .args([
            "-c",
            &format!("{command} audit.jsonl"),
            "sh",
            &person,
            &user,
        ])
        .current_dir(watched.folder.path());
    let found = Ended::of(&mut shell, "").expect_success().stdout;
    assert_eq!(acts(&found), acts(told), "{found}");
}

/// Without what differs: times, and the user of the operating system.
fn acts(story: &str) -> Vec<String> {
    let is_time = |word: &str| word.starts_with("20") && word.ends_with('Z');
    let known = |word: &str| {
        if word.starts_with("command:") {
            "command:USER".to_owned()
        } else {
            word.to_owned()
        }
    };
    let words = |line: &str| {
        line.split(' ')
            .filter(|word| !is_time(word))
            .map(known)
            .collect::<Vec<_>>()
            .join(" ")
    };
    story.lines().map(words).collect()
}

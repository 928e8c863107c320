//! Every alert of k8s/chart/monitoring but that of a 500 fires once because of a real fault: real processes, scraped by
//! a real Prometheus that has the rules as they are, but for its time, which runs thirty times as fast: what is 5 min
//! in a rule is 10 s here. Faults that a restored service can forget are mended, and their alerts end. A real
//! Alertmanager sends those that wake somebody, and their ends, to a webhook.

use std::{net::SocketAddr, sync::Mutex, time::Instant};

use tokio::time::sleep;

use crate::support::prelude::*;
use crate::support::scan::{Scan, two_pages};

/// The longest fault needs 60 s to be one and 30 min, here 60 s, to be told.
const LONGEST: Duration = Duration::from_secs(150);
/// Between two acts of those who suffer from a fault.
const PAUSE: Duration = Duration::from_millis(250);
/// The times of the rules, and what they are here. A time that is not here fails the test.
const TIMES: [(&str, &str); 11] = [
    ("[5m]", "[10s]"),
    ("[10m]", "[20s]"),
    ("offset 5m", "offset 10s"),
    ("offset 10m", "offset 20s"),
    ("[1h]", "[120s]"),
    ("[1d]", "[120s]"),
    ("for: 1m", "for: 2s"),
    ("for: 2m", "for: 4s"),
    ("for: 5m", "for: 10s"),
    ("for: 10m", "for: 20s"),
    ("for: 30m", "for: 60s"),
];

/// The route of Alertmanager that docs/runbook.md gives those who are to be woken.
const PAGE: &str = r#"matchers: [response="page"]"#;

/// The rules of the repository as a file of Prometheus.
fn rules(file: &str) -> String {
    let document = fs::read_to_string(repository("k8s/chart/monitoring").join(file))
        .expect("a file of the repository");
    let (_, spec) = document.split_once("\nspec:\n").expect("a PrometheusRule");
    let faster = TIMES.iter().fold(spec.to_owned(), |text, (slow, fast)| {
        text.replace(slow, fast)
    });
    assert!(!faster.contains("m]") && !faster.contains("h]"), "{faster}");
    let mut waits = faster
        .lines()
        .filter_map(|line| line.trim().strip_prefix("for: "));
    assert!(waits.all(|time| time.ends_with('s')), "{faster}");
    faster
}

/// Alertmanager, whose webhook leads to this server.
fn alertmanager(folder: &Path, pager: SocketAddr) -> (String, Process) {
    let page = fs::read_to_string(repository("docs/runbook.md")).expect("a page");
    assert!(page.contains(PAGE), "{page}");
    let times = "group_by: [alertname, namespace], group_wait: 0s, group_interval: 1s";
    let routes = format!("{{receiver: morning, {times}, routes: [{{receiver: pager, {PAGE}}}]}}");
    let webhook = format!("{{name: pager, webhook_configs: [{{url: 'http://{pager}/page'}}]}}");
    let all = format!("route: {routes}\nreceivers: [{{name: morning}}, {webhook}]\n");
    fs::write(folder.join("alertmanager.yaml"), all).expect("written");
    let address = format!("127.0.0.1:{}", free_port());
    let mut alertmanager = Command::new("prometheus-alertmanager");
    alertmanager.current_dir(folder).args([
        "--config.file=alertmanager.yaml",
        "--cluster.listen-address=",
    ]);
    alertmanager.args([
        "--storage.path=alertmanager",
        &format!("--web.listen-address={address}"),
    ]);
    (address, Process::spawn("alertmanager", &mut alertmanager))
}

/// Prometheus, and what it scrapes.
struct Watch {
    url: String,
    http: Http,
    folder: TempDir,
    targets: Mutex<Vec<Value>>,
    fired: Mutex<BTreeSet<String>>,
    /// Keeps what Alertmanager sends.
    pager: Answering,
    _processes: [Process; 2],
}

impl Watch {
    async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let file = |name: &str| folder.path().join(name);
        for name in [
            "alerts-issuer.yaml",
            "alerts-keys.yaml",
            "alerts-sidecar.yaml",
        ] {
            fs::write(file(name), rules(name)).expect("written");
        }
        fs::write(file("targets.json"), "[]").expect("written");
        let pager = Answering::start();
        pager.at("/page", Manner::says("200 OK", "", ""));
        let (sends, alertmanager) = alertmanager(folder.path(), pager.address);
        let configuration = json!({
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
            "rule_files": ["alerts-*.yaml"],
            "alerting": {"alertmanagers": [{"static_configs": [{"targets": [sends]}]}]},
            "scrape_configs": [{
                "job_name": "by-label",
                "file_sd_configs": [{"files": ["targets.json"], "refresh_interval": "1s"}],
            }],
        });
        // JSON is YAML too.
        fs::write(file("prometheus.yaml"), configuration.to_string()).expect("written");
        let address = format!("127.0.0.1:{}", free_port());
        let mut prometheus = Command::new("prometheus");
        prometheus
            .current_dir(&folder)
            .args(["--config.file=prometheus.yaml", "--storage.tsdb.path=data"]);
        prometheus.arg(format!("--web.listen-address={address}"));
        let process = Process::spawn("prometheus", &mut prometheus);
        let (url, http) = (format!("http://{address}"), Http::new());
        let request = || http.0.get(format!("{url}/-/ready")).send();
        until("Prometheus", PATIENCE, async || {
            request().await.is_ok_and(|answer| answer.status() == 200)
        })
        .await;
        Self {
            url,
            http,
            folder,
            targets: Mutex::default(),
            fired: Mutex::default(),
            pager,
            _processes: [process, alertmanager],
        }
    }

    /// Scrapes it, once before this returns. `job` and `namespace` are what Kubernetes would make of it.
    async fn target(&self, job: &str, namespace: &str, metrics: SocketAddr) {
        let labels =
            json!({"job": job, "namespace": namespace, "pod": format!("{namespace}-{job}")});
        locked(&self.targets).push(json!({"targets": [metrics.to_string()], "labels": labels}));
        let targets = Value::from(locked(&self.targets).clone()).to_string();
        replace(&self.folder.path().join("targets.json"), &targets);
        let up = format!("query?query=up{{job=\"{job}\",namespace=\"{namespace}\"}}");
        until("a scrape", PATIENCE * 2, async || {
            self.ask(&up).await["result"][0]["value"][1] == "1"
        })
        .await;
    }

    async fn issuer<R>(&self, namespace: &str, bed: &TestBed<R>) {
        self.target("wxmint", namespace, bed.service().admin).await;
    }

    /// A test bed that is scraped.
    async fn bed(&self, namespace: &str, builder: Builder) -> TestBed {
        let bed = builder.start().await;
        self.issuer(namespace, &bed).await;
        bed
    }

    async fn sidecar(&self, namespace: &str, sidecar: &Sidecar) {
        self.target("orders", namespace, sidecar.admin).await;
    }

    async fn ask(&self, path: &str) -> Value {
        self.http
            .get(&format!("{}/api/v1/{path}", self.url))
            .await
            .json()["data"]
            .take()
    }

    /// Whether it fires for this namespace; an alert without one is everybody's.
    async fn is_firing(&self, alert: &str, namespace: &str) -> bool {
        let firing = self.ask("alerts").await["alerts"].take();
        let firing = firing
            .as_array()
            .expect("alerts")
            .iter()
            .filter(|one| one["state"] == "firing");
        let mut labels = firing
            .map(|one| &one["labels"])
            .filter(|labels| labels["alertname"] == alert);
        labels.any(|labels| {
            labels["pod"]
                .as_str()
                .or(labels["namespace"].as_str())
                .unwrap_or(namespace)
                .starts_with(namespace)
        })
    }

    /// The names of the alerts whose rules are so.
    async fn alerts(&self, is_so: fn(&Value) -> bool) -> BTreeSet<String> {
        let groups = self.ask("rules").await["groups"].take();
        let groups = groups.as_array().expect("groups").iter();
        let rules = groups
            .flat_map(|group| group["rules"].as_array().expect("rules"))
            .filter(|rule| is_so(rule));
        rules
            .map(|rule| rule["name"].as_str().expect("a name").to_owned())
            .collect()
    }

    /// The names of those that Alertmanager has sent with this status.
    fn sent(&self, status: &str) -> BTreeSet<String> {
        let bodies: Vec<_> = self.pager.calls().iter().map(Call::json).collect();
        let alerts = bodies
            .iter()
            .flat_map(|body| body["alerts"].as_array().expect("alerts"));
        let sent = alerts.filter(|alert| alert["status"] == status);
        sent.map(|alert| {
            alert["labels"]["alertname"]
                .as_str()
                .expect("a name")
                .to_owned()
        })
        .collect()
    }

    /// Waits until all of them have fired, while `act` goes on. One that does not is found missing in the end.
    async fn fire<T>(&self, namespace: &str, alerts: &[&str], mut act: impl AsyncFnMut() -> T) {
        let since = Instant::now();
        for alert in alerts {
            while !self.is_firing(alert, namespace).await && since.elapsed() < LONGEST {
                act().await;
                sleep(PAUSE).await;
            }
            if since.elapsed() < LONGEST {
                tell(&format!(
                    "{alert} fires for {namespace:?} after {:.0} s",
                    since.elapsed().as_secs_f64()
                ));
                locked(&self.fired).insert((*alert).to_owned());
            }
        }
    }

    /// The fault is over.
    async fn end<T>(&self, namespace: &str, alerts: &[&str], mut act: impl AsyncFnMut() -> T) {
        for alert in alerts {
            until(
                &format!("{alert} ends for {namespace}"),
                LONGEST,
                async || {
                    act().await;
                    sleep(PAUSE).await;
                    !self.is_firing(alert, namespace).await
                },
            )
            .await;
        }
    }
}

async fn nothing() {}

/// Nothing is wrong here, and nothing is told of it.
async fn healthy(watch: &Watch, is_over: &Mutex<bool>) {
    let bed = watch.bed("healthy", TestBed::builder()).await;
    let sidecar = bed.sidecar().ready().await;
    watch.sidecar("healthy", &sidecar).await;
    while !*locked(is_over) {
        let login = bed.log_in("lin").await.expect_login();
        assert_eq!(
            sidecar.verify(&login.member("access_token")).await.status,
            200
        );
        bed.service().get("/revocations").await;
        sleep(PAUSE).await;
    }
    let told = watch
        .ask("query?query=ALERTS{namespace=\"healthy\"}[10m]")
        .await;
    assert_eq!(told["result"], json!([]));
}

/// Redis is killed; a minute later the sidecar knows of no ends of this minute.
async fn redis_is_killed(watch: &Watch) {
    let mut bed = watch.bed("redis", TestBed::builder()).await;
    let sidecar = bed.sidecar().ready().await;
    watch.sidecar("redis", &sidecar).await;
    bed.log_in("lin").await.expect_login();
    bed.redis.kill();
    let suffer = async |bed: &TestBed| {
        (
            bed.log_in("lin").await,
            bed.service().get("/revocations").await,
        )
    };
    let alerts = [
        "WxmintLoginsUnavailable",
        "WxmintRevocationFeedUnavailable",
        "WxmintSidecarRevocationsOld",
    ];
    watch
        .fire("redis", &alerts, async || suffer(&bed).await)
        .await;
    bed.redis.start_again().await;
    watch
        .end("redis", &alerts, async || suffer(&bed).await)
        .await;
}

/// All phones are one address, and its limit is small.
async fn a_limit_is_too_small(watch: &Watch) {
    let bed = watch
        .bed("limited", TestBed::builder().env("WXMINT_LIMIT_IP", "3/1m"))
        .await;
    watch
        .fire("limited", &["WxmintLoginsLimited"], async || {
            bed.log_in("lin").await
        })
        .await;
}

/// And the audit file is on a full disk.
async fn wechat_is_slow(watch: &Watch) {
    let bed = watch
        .bed(
            "slow",
            TestBed::builder().env("WXMINT_AUDIT", "file:/dev/full"),
        )
        .await;
    bed.faults(json!([{"kind": "latency", "ms": 3000}])).await;
    let people = ["lin", "mei", "xu", "bo", "an", "yi"];
    let all = async || join_all(people.map(|person| bed.log_in(person))).await;
    watch
        .fire("slow", &["WxmintLoginsSlow", "WxmintAuditLost"], all)
        .await;
    bed.faults(json!([])).await;
    watch
        .end("slow", &["WxmintLoginsSlow"], async || {
            bed.log_in("lin").await
        })
        .await;
}

/// The AppSecret was reset at WeChat.
async fn the_app_secret_is_wrong(watch: &Watch) {
    let bed = watch.bed("secret", TestBed::builder()).await;
    let other = "ffeeddccbbaa99887766554433221100";
    bed.wechat
        .change_app(json!({"appid": APPID, "secret": other, "drop_old_secrets": true}))
        .await;
    watch
        .fire("secret", &["WxmintWeChatMisconfigured"], async || {
            bed.log_in("lin").await
        })
        .await;
    let named =
        format!("query?query=ALERTS{{namespace=\"secret\",app=\"{APPID}\",kind=\"mini_program\"}}");
    until("the alert names the app", PATIENCE, async || {
        watch.ask(&named).await["result"][0].is_object()
    })
    .await;
}

/// The page that the codes open is not in the published version.
async fn wechat_draws_no_codes(watch: &Watch) {
    let bed = watch
        .bed("codes", TestBed::builder().clients(&two_pages()))
        .await;
    bed.faults(json!([{"path": "/wxa/getwxacodeunlimit", "kind": "errcode", "errcode": 41030}]))
        .await;
    let ask = async || {
        let scan = Scan::begin(&bed, "shop-web").await;
        // An address has 20 open requests at most.
        if scan.asked.status == 200 {
            bed.service()
                .get(&format!("/device/{}/code.jpg", scan.user_code()))
                .await;
        }
    };
    watch.fire("codes", &["WxmintScanCodesNotDrawn"], ask).await;
    watch
        .end("codes", &["WxmintScanCodesNotDrawn"], nothing)
        .await;
}

/// The server of a product is away.
async fn a_site_takes_no_logouts(watch: &Watch) {
    let site = Answering::start();
    site.otherwise(Manner::says("503 Service Unavailable", "", ""));
    let mut clients = two_pages();
    clients[0]["redirect_uris"] = json!(["https://grafana.example.com/cb"]);
    clients[0]["backchannel_logout_uri"] = site.url("/logout").into();
    let bed = watch
        .bed("logouts", TestBed::builder().clients(&clients).operator())
        .await;
    // Somebody who has logged in there is banned.
    let ban = async || {
        let user = format!("user-{}", fastrand::u64(..));
        let list = format!("wxmint:oidc:families:shop-web:{user}");
        let _: u64 = bed.redis.command(&["ZADD", &list, "1", "a-login"]);
        bed.operate("PUT", &format!("/users/{user}/block")).await;
    };
    watch
        .fire("logouts", &["WxmintSiteTakesNoLogouts"], &ban)
        .await;
    site.otherwise(Manner::says("200 OK", "", ""));
    watch
        .end("logouts", &["WxmintSiteTakesNoLogouts"], &ban)
        .await;
}

/// WeChat's console has no address for the platform's pushes.
async fn no_ticket_comes(watch: &Watch) {
    let bed = watch.bed("ticket", TestBed::builder().platform()).await;
    watch
        .fire("ticket", &["WxmintPlatformTicketLate"], nothing)
        .await;
    let push_to = bed.service().url(&format!("/wechat/platform/{PLATFORM}"));
    bed.wechat
        .control("platform", "PUT", &json!({"push_to": push_to}))
        .await;
    bed.wechat
        .control("platform/ticket", "POST", &json!({}))
        .await;
    watch
        .end("ticket", &["WxmintPlatformTicketLate"], nothing)
        .await;
}

/// The clock of the machine is set 50 s back: no key signs yet, and Redis has another time.
async fn the_clock_jumps(watch: &Watch) {
    let (clock, builder) = Clock::of(TestBed::builder());
    let bed = watch.bed("clock", builder).await;
    bed.log_in("lin").await.expect_login();
    clock.is_off_but_for_redis(-50);
    watch
        .fire(
            "clock",
            &["WxmintLoginsUnavailable", "WxmintDistantClock"],
            async || bed.log_in("lin").await,
        )
        .await;
}

/// No fault is known that ends in 500: a stand-in says that it has answered so.
async fn a_500_is_answered(watch: &Watch) {
    let stand_in = Answering::start();
    let counted = "wxmint_requests_total{route=\"/login\",outcome=\"internal_error\"} 1\n";
    stand_in.at(
        "/metrics",
        Manner::says(
            "200 OK",
            "Content-Type: text/plain; version=0.0.4\r\n",
            counted,
        ),
    );
    watch.target("wxmint", "mistake", stand_in.address).await;
    watch
        .fire("mistake", &["WxmintInternalError"], nothing)
        .await;
}

/// A platform refuses the secret of an app.
async fn a_platform_refuses_an_app(watch: &Watch) {
    const QQ: &str = "1112223334";
    let folder = apps_folder(&[(APPID, APP_SECRET)]);
    let file = json!({"platform": "qq", "secret": "wrong-secret"});
    write_private(&folder.path().join(QQ), &file.to_string());
    let builder = TestBed::builder()
        .apps_folder(folder.path())
        .app(QQ, "right-secret:qq");
    let bed = watch.bed("platform", builder).await;
    let ask = async || bed.log_in_at(QQ, "lin", json!({})).await;
    watch
        .fire("platform", &["WxmintPlatformMisconfigured"], ask)
        .await;
}

/// The phone numbers that the business has bought are used up.
async fn no_phone_numbers_are_left(watch: &Watch) {
    let bed = watch.bed("numbers", TestBed::builder()).await;
    let token = bed
        .log_in("lin")
        .await
        .expect_login()
        .member("access_token");
    let spent =
        json!({"kind": "errcode", "errcode": 1400001, "path": "/wxa/business/getuserphonenumber"});
    bed.faults(json!([spent])).await;
    let ask = async || {
        let code = json!({"code": bed.wechat.mint_phone_code("lin").await});
        bed.service()
            .ask("POST", "/wechat/phone", &token, &code)
            .await
    };
    watch
        .fire("numbers", &["WxmintPhoneNumbersSpent"], ask)
        .await;
}

/// More than half of the phone numbers that an app may have in a day.
async fn many_phone_numbers_are_verified(watch: &Watch) {
    let builder = TestBed::builder().env("WXMINT_PHONE_NUMBERS_PER_APP", "10");
    let bed = watch.bed("bill", builder).await;
    let token = bed
        .log_in("lin")
        .await
        .expect_login()
        .member("access_token");
    let ask = async || {
        let code = json!({"code": bed.wechat.mint_phone_code("lin").await});
        bed.service()
            .ask("POST", "/wechat/phone", &token, &code)
            .await
    };
    watch.fire("bill", &["WxmintManyPhoneNumbers"], ask).await;
}

/// Somebody has overwritten the vault's keys and the signing keys.
async fn files_are_spoiled(watch: &Watch) {
    let bed = watch.bed("files", TestBed::builder()).await;
    let files = ["WXMINT_KEYS", "WXMINT_VAULT_KEY_FILE"]
        .map(|name| PathBuf::from(bed.configuration.value(name)));
    let good = files
        .each_ref()
        .map(|file| fs::read(file).expect("our file"));
    for file in &files {
        fs::write(file, "hunter2").expect("our file");
    }
    let alerts = ["WxmintKeyReloadRefused", "WxmintReloadRefused"];
    watch.fire("files", &alerts, nothing).await;
    for (file, content) in files.iter().zip(good) {
        fs::write(file, content).expect("our file");
    }
    watch.end("files", &alerts, nothing).await;
}

/// A key is ended in the file of another replica. The command that `/readyz` names mends it.
async fn a_key_in_use_is_revoked(watch: &Watch) {
    let mut bed = watch.bed("ended-key", TestBed::builder()).await;
    let kid = kid_of(&bed.log_in("lin").await.member("access_token"));
    let (right, other) = (
        PathBuf::from(bed.configuration.value("WXMINT_KEYS")),
        bed.configuration.path("other.json"),
    );
    fs::copy(&right, &other).expect("a copy");
    keys(&other, &["retire", &kid, "--now", "--yes"]);
    bed.configuration
        .set("WXMINT_KEYS", &other.to_string_lossy());
    let _replica = Service::start(&bed.configuration, bed.http.clone()).await;
    watch.fire("ended-key", &["WxmintKeyEnded"], nothing).await;
    keys(&right, &["retire", &kid, "--now", "--yes"]);
    watch.end("ended-key", &["WxmintKeyEnded"], nothing).await;
}

/// The clock of a primary of three is wrong; then that primary is killed, and has no replica.
async fn a_primary_is_apart_and_gone(watch: &Watch) {
    let folder = tempfile::tempdir().expect("a folder");
    let cluster = RedisCluster::of(0, &[&movable_clock(folder.path())], "").await;
    let mut bed = TestBed::builder().start_on(cluster).await;
    watch.issuer("primary", &bed).await;
    bed.redis.node(0).move_clock(30);
    watch
        .fire("primary", &["WxmintRedisClocksApart"], nothing)
        .await;
    bed.redis.node(0).move_clock(0);
    watch
        .end("primary", &["WxmintRedisClocksApart"], nothing)
        .await;
    bed.redis.kill(0);
    watch
        .fire("primary", &["WxmintRedisSlotsNotCovered"], nothing)
        .await;
    bed.redis.start_again(0).await;
    watch
        .end("primary", &["WxmintRedisSlotsNotCovered"], nothing)
        .await;
}

async fn a_replica_is_killed(watch: &Watch) {
    let bed = TestBed::builder()
        .env("WXMINT_REDIS_CONFIRM", "1")
        .start()
        .await;
    let mut replica = RedisServer::replica_of(&bed.redis).await;
    watch.issuer("replica", &bed).await;
    replica.kill();
    watch
        .fire("replica", &["WxmintRedisReplicasMissing"], nothing)
        .await;
}

/// Strangers' keys push out others, under the policy that several clouds have by default.
async fn redis_evicts(watch: &Watch) {
    let builder = TestBed::builder().redis_options(&["--maxmemory-policy", "volatile-lru"]);
    let bed = watch.bed("evicts", builder).await;
    bed.redis
        .command::<()>(&["CONFIG", "SET", "maxmemory", "3mb"]);
    let fill = "for i = 1, 200 do redis.call('SET', KEYS[1] .. i, string.rep('x', 1000), 'EX', 600) end return 1";
    let mut stranger = 0;
    let act = async || {
        stranger += 1;
        bed.redis
            .command::<i64>(&["EVAL", fill, "1", &format!("wxmint:limit:{stranger}:")]);
    };
    watch.fire("evicts", &["WxmintRedisEvicts"], act).await;
}

/// The memory of Redis is full: people log in no more, and an operator can cut nobody off.
async fn redis_is_full(watch: &Watch) {
    let bed = watch.bed("full", TestBed::builder().operator()).await;
    bed.log_in("lin").await.expect_login();
    let path = format!(
        "/wechat/{APPID}/people/{}/revoke",
        bed.wechat.openid("lin").await
    );
    bed.redis
        .command::<()>(&["CONFIG", "SET", "maxmemory", "1"]);
    let end = async || bed.operate("POST", &path).await;
    watch
        .fire("full", &["WxmintRevocationsNotPublished"], end)
        .await;
    bed.redis
        .command::<()>(&["CONFIG", "SET", "maxmemory", "0"]);
    assert_eq!(end().await.status, 204);
}

/// One person binds to two users in two mini programs, before both belong to one owner.
async fn one_person_is_two_users(watch: &Watch) {
    let bed = watch
        .bed(
            "unionid",
            TestBed::builder().two_apps().users(&["alice", "bob"]),
        )
        .await;
    for (app, name) in [(APPID, "alice"), (OTHER_APPID, "bob")] {
        bed.wechat.names_unionids(app, false).await;
        bed.log_in_at(app, "lin", password_of(name))
            .await
            .expect_login();
    }
    for app in [APPID, OTHER_APPID] {
        bed.wechat.names_unionids(app, true).await;
        bed.log_in_at(app, "lin", json!({})).await.expect_login();
    }
    watch
        .fire("unionid", &["WxmintUnionidConflict"], nothing)
        .await;
}

/// The only key was made 32 days ago, and nobody has rotated it.
async fn nobody_rotates_the_key(watch: &Watch) {
    let mut bed = TestBed::builder().services(0).start().await;
    let keys = bed.configuration.value("WXMINT_KEYS");
    fs::remove_file(keys).expect("our file");
    let mut generate = wxmint();
    generate
        .args(["keys", "generate", "--keys", keys])
        .env_clear();
    generate
        .env("LD_PRELOAD", libfaketime())
        .env("FAKETIME", "-32d");
    assert!(generate.output().expect("wxmint runs").status.success());
    bed.services
        .push(Service::start(&bed.configuration, bed.http.clone()).await);
    watch.issuer("old-key", &bed).await;
    watch
        .fire(
            "old-key",
            &[
                "WxmintRotationOverdue",
                "WxmintNextKeyMissing",
                "WxmintRevocationsLost",
            ],
            nothing,
        )
        .await;
}

/// A sidecar that cannot reach the issuer: one has never had keys, the other has those of its folder and reads no feed.
async fn the_issuer_is_out_of_reach(watch: &Watch) {
    let bed = TestBed::start().await;
    let (link, folder) = (
        Breakable::before(bed.service().public).await,
        tempfile::tempdir().expect("a folder"),
    );
    let settings = SidecarSettings::following(&link.url());
    let cached = settings
        .clone()
        .with("WXMINT_JWKS_CACHE", &folder.path().to_string_lossy());
    drop(cached.ready().await);
    link.cut().await;
    let (without, with) = (settings.start().await, cached.start().await);
    watch.sidecar("no-keys", &without).await;
    watch.sidecar("old-keys", &with).await;
    watch
        .fire("no-keys", &["WxmintSidecarHasNoKeys"], nothing)
        .await;
    watch
        .fire(
            "old-keys",
            &["WxmintSidecarKeysOld", "WxmintSidecarRevocationsOld"],
            nothing,
        )
        .await;
    link.restore().await;
    watch
        .end("no-keys", &["WxmintSidecarHasNoKeys"], nothing)
        .await;
    watch
        .end("old-keys", &["WxmintSidecarKeysOld"], nothing)
        .await;
}

/// A peer expects another audience than the issuer writes: 401 everywhere.
async fn the_audience_differs(watch: &Watch) {
    let bed = TestBed::start().await;
    let sidecar = bed
        .sidecar()
        .with("WXMINT_AUDIENCE", "https://orders.example.com")
        .ready()
        .await;
    watch.sidecar("audience", &sidecar).await;
    let token = bed
        .log_in("lin")
        .await
        .expect_login()
        .member("access_token");
    let verify = async || -> Vec<Answer> { join_all((0..5).map(|_| sidecar.verify(&token))).await };
    assert!(verify().await.iter().all(|answer| answer.status == 401));
    watch
        .fire(
            "audience",
            &["WxmintSidecarRefusesNearlyAll", "WxmintSidecarRefusesMany"],
            verify,
        )
        .await;
}

/// The feed of another issuer, whose keys the sidecar does not have.
async fn the_feed_is_anothers(watch: &Watch) {
    let (bed, other) = (TestBed::start().await, TestBed::start().await);
    let feed = other.service().url("/revocations");
    let sidecar = bed
        .sidecar()
        .with("WXMINT_REVOCATIONS_URL", &feed)
        .start()
        .await;
    watch.sidecar("feed", &sidecar).await;
    watch
        .fire("feed", &["WxmintSidecarRevocationsRefused"], nothing)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_alert_fires_because_of_a_real_fault() {
    let (watch, is_over) = (Watch::start().await, Mutex::new(false));
    let faults = async {
        tokio::join!(
            redis_is_killed(&watch),
            a_limit_is_too_small(&watch),
            wechat_is_slow(&watch),
            the_app_secret_is_wrong(&watch),
            wechat_draws_no_codes(&watch),
            a_site_takes_no_logouts(&watch),
            a_platform_refuses_an_app(&watch),
            no_phone_numbers_are_left(&watch),
            many_phone_numbers_are_verified(&watch),
            no_ticket_comes(&watch),
            the_clock_jumps(&watch),
            a_500_is_answered(&watch),
            files_are_spoiled(&watch),
            a_key_in_use_is_revoked(&watch),
            a_primary_is_apart_and_gone(&watch),
            a_replica_is_killed(&watch),
            redis_evicts(&watch),
            redis_is_full(&watch),
            one_person_is_two_users(&watch),
            nobody_rotates_the_key(&watch),
            the_issuer_is_out_of_reach(&watch),
            the_audience_differs(&watch),
            the_feed_is_anothers(&watch),
        );
        *locked(&is_over) = true;
    };
    tokio::join!(faults, healthy(&watch, &is_over));
    // Every process has been killed with its test bed.
    watch.fire("", &["WxmintNotScraped"], nothing).await;
    let fired = locked(&watch.fired).clone();
    let alerts = watch.alerts(|_| true).await;
    let left: Vec<_> = alerts.difference(&fired).collect();
    assert!(left.is_empty(), "no fault here makes them fire: {left:?}");
    let wake = watch
        .alerts(|rule| rule["labels"]["response"] == "page")
        .await;
    until("each that wakes somebody is sent", PATIENCE, async || {
        wake.is_subset(&watch.sent("firing"))
    })
    .await;
    assert_eq!(watch.sent("firing"), wake, "the others wait until morning");
    assert!(
        watch.sent("resolved").contains("WxmintLoginsUnavailable"),
        "{:?}",
        watch.sent("resolved")
    );
}

//! Nobody who runs as the same user can read the service's memory, and what was secret does not stay in it.

use std::fs::{self, File};
use std::io::BufRead;
use std::os::unix::fs::FileExt;
use std::process::Output;

use crate::support::prelude::*;
use base64::{Engine, engine::general_purpose::STANDARD};

/// WeChat's answer lies in the buffer of its connection until the next one comes, or for the 20 s of an idle
/// connection.
const SOON: Duration = PATIENCE.saturating_mul(6);

/// A thing to look for: its name, and its bytes.
type Needle = (&'static str, Vec<u8>);

/// The memory of a running process: all that can be written to.
struct Memory {
    file: File,
    ranges: Vec<(u64, u64)>,
}

impl Memory {
    fn of(service: &Service) -> Self {
        let pid = service.id();
        let may_not = "run this test as root with CAP_SYS_PTRACE (Docker: --cap-add SYS_PTRACE), since nobody else may read";
        let file = File::open(format!("/proc/{pid}/mem"))
            .unwrap_or_else(|error| panic!("{error}: {may_not}"));
        let maps = fs::read_to_string(format!("/proc/{pid}/maps")).expect("Linux");
        let ranges = maps.lines().filter(|map| map.contains(" rw")).map(|map| {
            let (start, end) = map
                .split_once(' ')
                .and_then(|(range, _)| range.split_once('-'))
                .expect("a range");
            let [start, end] =
                [start, end].map(|address| u64::from_str_radix(address, 16).expect("an address"));
            (start, end)
        });
        Self {
            file,
            ranges: ranges.collect(),
        }
    }

    fn find(&self, needles: &[Needle]) -> Vec<&'static str> {
        let mut found = Vec::new();
        for &(start, end) in &self.ranges {
            let mut bytes = vec![0; (end - start) as usize];
            // A range may have gone since.
            let read = self.file.read_at(&mut bytes, start).unwrap_or(0);
            let there = needles
                .iter()
                .filter(|(_, needle)| contains(&bytes[..read], needle));
            found.extend(there.map(|(name, _)| *name));
        }
        found
    }
}

/// `skip_until` is compiled for speed, also in a build for tests.
fn contains(mut bytes: &[u8], needle: &[u8]) -> bool {
    while !bytes.is_empty() {
        bytes.skip_until(needle[0]).expect("a slice");
        if bytes.starts_with(&needle[1..]) {
            return true;
        }
    }
    false
}

/// The secret of a peer that asks the admin listener.
const PEER: &str = "planted-secret-of-a-peer-2d61c09b";

/// A service that has users with passwords and speaks TLS to WeChat, as in production.
struct World {
    bed: TestBed,
    service: Service,
    keys: Vec<Needle>,
    _tls: Terminator,
}

impl World {
    async fn start() -> Self {
        let builder = TestBed::builder()
            .services(0)
            .users(&["lin"])
            .operators(&format!("shop {PEER} wechat\n"));
        let mut bed = builder.start().await;
        let (tls, roots) = (
            Terminator::before(bed.wechat.address).await,
            bed.configuration.path("roots.pem"),
        );
        fs::write(&roots, &tls.certificate).expect("written");
        bed.configuration
            .set("SSL_CERT_FILE", &roots.to_string_lossy());
        bed.configuration
            .set("WXMINT_WECHAT_URL", &format!("https://{}", tls.address));
        let service = bed.another().await;
        Self {
            bed,
            service,
            keys: Vec::new(),
            _tls: tls,
        }
    }

    /// By password; the client's connection ends with it.
    async fn log_in(&mut self) -> String {
        let mut body = password_of("lin");
        body["code"] = self.bed.mint_code("lin").await.into();
        let client = Http::new();
        let login = client
            .send(client.0.post(self.service.url("/login")).json(&body))
            .await
            .expect_login();
        self.note_key().await;
        login.member("access_token")
    }

    /// The session key that WeChat has now, in the forms in which it passes through.
    async fn note_key(&mut self) {
        let account = self.bed.wechat.account("lin").await;
        let key = account["session_key"].as_str().expect("a key");
        self.keys.push(("session_key", key.into()));
        self.keys
            .push(("session_key in JSON", key.replace('/', "\\/").into()));
        self.keys
            .push(("session_key's bytes", STANDARD.decode(key).expect("base64")));
    }

    async fn ask(&self, method: &str, path: &str, token: &str, body: &Value) -> u16 {
        self.service.ask(method, path, token, body).await.status
    }

    /// The phone hands this to the mini program, sealed with a session key.
    async fn user_data(&self, under: &str) -> Value {
        self.bed
            .wechat
            .hand_over(json!({"person": "lin", "kind": "user_info", "under": under}))
            .await
    }

    /// A peer's request, whose connection ends with it.
    async fn ask_as_peer(&self, method: &str, path: &str, body: &Value) -> Answer {
        let client = Http::new();
        let url = format!("http://{}{path}", self.service.admin);
        let request = client
            .0
            .request(method.parse().expect("a method"), url)
            .bearer_auth(PEER);
        let answer = client
            .send(if body.is_null() {
                request
            } else {
                request.json(body)
            })
            .await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer
    }

    /// Everything that is done with a session key.
    async fn use_session(&mut self, token: &str) {
        for under in ["current", "previous"] {
            let data = self.user_data(under).await;
            let encrypted = json!({"encryptedData": data["encryptedData"], "iv": data["iv"]});
            assert_eq!(
                self.ask("POST", "/wechat/userdata", token, &encrypted)
                    .await,
                200,
                "{under}"
            );
        }
        let data = self.user_data("current").await;
        let raw = json!({"rawData": data["rawData"], "signature": data["signature"]});
        assert_eq!(self.ask("POST", "/wechat/userdata", token, &raw).await, 200);
        assert_eq!(
            self.service
                .ask("GET", "/wechat/session", token, &Value::Null)
                .await
                .body,
            "{\"valid\":true}"
        );
        assert_eq!(
            self.ask("POST", "/wechat/session/reset", token, &json!({}))
                .await,
            204
        );
        self.note_key().await;
        let of_user = format!("/users/id-of-lin/wechat/{APPID}");
        self.ask_as_peer(
            "POST",
            &format!("{of_user}/signature"),
            &json!({"data": "data"}),
        )
        .await;
        self.ask_as_peer("GET", &format!("{of_user}/encrypt-keys"), &Value::Null)
            .await;
    }

    fn find(&self, needles: &[Needle]) -> Vec<&'static str> {
        Memory::of(&self.service).find(needles)
    }

    /// The same search finds what is there.
    async fn forgets(&self, needles: &[Needle], within: Duration) {
        until("nothing of it is in memory", within, async || {
            self.find(needles).is_empty()
        })
        .await;
        assert!(
            self.find(&[("AppSecret", APP_SECRET.into())])
                .contains(&"AppSecret")
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow; make nightly runs it"]
async fn after_a_logout_no_session_key_or_access_token_is_in_memory_and_while_a_key_is_used_it_is_found()
 {
    let mut world = World::start().await;
    world.log_in().await;
    let token = world.log_in().await;
    let path = format!("/wechat/{APPID}/access-token");
    let lent = world
        .ask_as_peer("GET", &path, &Value::Null)
        .await
        .member("access_token");
    let replaced = world
        .ask_as_peer("POST", &path, &json!({"invalid": lent}))
        .await
        .member("access_token");
    assert_ne!(lent, replaced);
    world.use_session(&token).await;

    world
        .bed
        .faults(json!([{"kind": "stall", "path": "/wxa/checksession"}]))
        .await;
    let current = world.keys[world.keys.len() - 3..].to_vec();
    let in_use = eventually("a key that is used is found", PATIENCE, async || {
        Some(world.find(&current)).filter(|found| found.contains(&"session_key"))
    });
    let (asked, _) = tokio::join!(
        world.ask("GET", "/wechat/session", &token, &Value::Null),
        in_use
    );
    assert_eq!(asked, 503);

    assert_eq!(world.ask("POST", "/logout", &token, &json!({})).await, 204);
    world.keys.extend([
        ("access token", lent.into_bytes()),
        ("its successor", replaced.into_bytes()),
    ]);
    world.forgets(&world.keys, SOON).await;
}

/// The users file is hashed, so that the password is nowhere else.
#[tokio::test(flavor = "multi_thread")]
async fn a_password_is_gone_from_memory_with_the_connection_that_brought_it() {
    let mut world = World::start().await;
    world.log_in().await;
    world
        .forgets(&[("password", PASSWORD.into())], PATIENCE)
        .await;
}

/// The command as a user without a right to look into others' processes: as whoever we are, less what root may do.
pub(crate) fn without_rights(command: &Command) -> Command {
    let mut reduced = Command::new("setpriv");
    if rustix::process::geteuid().is_root() {
        reduced.args(["--bounding-set=-all", "--inh-caps=-all"]);
    } else {
        reduced.arg("--no-new-privs");
    }
    reduced
        .arg(command.get_program())
        .args(command.get_args())
        .env_clear()
        .current_dir("/");
    reduced.envs(
        command
            .get_envs()
            .filter_map(|(name, value)| Some((name, value?))),
    );
    reduced
}

/// A debugger reads memory and environment by the same right.
fn read_environment(pid: u32) -> Output {
    without_rights(Command::new("cat").arg(format!("/proc/{pid}/environ")))
        .output()
        .expect("setpriv")
}

#[tokio::test]
async fn no_core_is_dumped_and_no_process_of_the_same_user_can_look_into_the_service() {
    let bed = TestBed::start().await;
    let limits = fs::read_to_string(format!("/proc/{}/limits", bed.service().id())).expect("Linux");
    let core: Vec<&str> = limits
        .lines()
        .find(|line| line.starts_with("Max core"))
        .expect("one")
        .split("  ")
        .collect();
    assert_eq!(
        core.iter().filter(|cell| cell.trim() == "0").count(),
        2,
        "{core:?}"
    );

    let service = Process::spawn(
        "wxmint serve",
        &mut without_rights(&bed.configuration.command()),
    );
    until("it listens", PATIENCE, async || {
        service
            .stderr()
            .iter()
            .any(|line| line.contains("listening"))
    })
    .await;
    let refused = read_environment(service.id());
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        !refused.status.success()
            && refused.stdout.is_empty()
            && said.contains("Permission denied"),
        "{said}"
    );

    let mut open = wxmint();
    open.args(["simulator", "--listen", "127.0.0.1:0"])
        .env_clear()
        .env("PLAIN", "to see");
    let open = Process::spawn("wxmint simulator", &mut without_rights(&open));
    until("it listens", PATIENCE, async || !open.stdout().is_empty()).await;
    let seen = read_environment(open.id());
    assert!(
        seen.stdout.starts_with(b"PLAIN=to see"),
        "another process of this user can be looked into: {seen:?}"
    );
}

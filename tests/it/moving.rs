//! docs/move.md: a back end with a thousand users and HS256 tokens of its own is moved to wxmint, while its users send
//! requests. The commands and settings are those of the page.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::{sync::RwLock, task::JoinSet};

use crate::readme::blocks;
use crate::support::prelude::*;

const USERS: usize = 1000;
const AT_ONCE: usize = 8;
/// Requests that are waited for after the steps.
const REQUESTS: usize = 200;

/// The service as its users reach it: each deployment is started beside the last one, which ends when it answers nobody
/// any more, as behind a proxy.
struct BackEnd {
    folder: TempDir,
    environment: BTreeMap<String, String>,
    steps: BTreeMap<String, String>,
    settings: String,
    http: Http,
    running: Arc<RwLock<(String, Process)>>,
}

impl BackEnd {
    /// Moves this mini program, by the page's commands with its AppID.
    async fn of(bed: &TestBed, app: &str, secret: &str) -> Self {
        let folder = node_folder();
        let files = fs::read_dir(repository("examples/move"))
            .expect("a folder")
            .map(|entry| entry.expect("a file"));
        for file in files.filter(|file| file.path().is_file()) {
            fs::copy(file.path(), folder.path().join(file.file_name())).expect("a copy");
        }
        let environment = [
            ("PATH", path_with_wxmint()),
            ("PORT", "0".to_owned()),
            ("APPID", app.to_owned()),
            ("APP_SECRET", secret.to_owned()),
            ("OLD_SECRET", "a secret that every service has".to_owned()),
            ("WECHAT_URL", bed.wechat.url()),
            ("WXMINT_URL", bed.service().url("")),
            ("WXMINT_REDIS_URL", bed.redis.url()),
        ];
        let environment: BTreeMap<_, _> = environment
            .map(|(name, value)| (name.to_owned(), value))
            .into();
        let page = fs::read_to_string(repository("docs/move.md")).expect("a page");
        let steps = blocks(&page)
            .into_iter()
            .map(|(name, text)| (name.to_owned(), text.replace(APPID, app)))
            .collect();
        let running = deployed(folder.path(), &environment, "").await;
        let running = Arc::new(RwLock::new(running));
        Self {
            folder,
            environment,
            steps,
            settings: String::new(),
            http: bed.http.clone(),
            running,
        }
    }

    fn table(&self) -> PathBuf {
        self.folder.path().join("users.ndjson")
    }

    /// Deploys with the settings of this step of the page, beside those of the steps before.
    async fn deploy(&mut self, step: &str) {
        self.settings.push_str(&self.steps[step]);
        let next = deployed(self.folder.path(), &self.environment, &self.settings).await;
        *self.running.write().await = next;
    }

    /// Runs the commands of a step of the page.
    async fn run(&self, step: &str) {
        let mut bash = Command::new("bash");
        bash.args(["-euc", &self.steps[step]])
            .current_dir(&self.folder)
            .env_clear()
            .envs(&self.environment);
        let mut process = Process::spawn(step, &mut bash);
        assert!(
            process.end(6 * PATIENCE).await.success(),
            "{step}: {}",
            process.log()
        );
    }

    /// The token and the user id of a login, as the published pages read them.
    async fn log_in(&self, bed: &TestBed, person: &str) -> (String, String) {
        let code = bed
            .wechat
            .mint_code_in(&self.environment["APPID"], person)
            .await;
        log_in(&self.running, &self.http, &code).await
    }
}

async fn deployed(
    folder: &Path,
    environment: &BTreeMap<String, String>,
    settings: &str,
) -> (String, Process) {
    let mut bash = Command::new("bash");
    bash.args(["-euc", &format!("{settings}\nexec node app.mjs")])
        .current_dir(folder)
        .env_clear()
        .envs(environment);
    let mut process = Process::spawn("the back end", &mut bash);
    (
        format!("http://{}", process.printed_address().await),
        process,
    )
}

async fn log_in(running: &RwLock<(String, Process)>, http: &Http, code: &str) -> (String, String) {
    static LAST: AtomicUsize = AtomicUsize::new(0);
    // As the proxy before the back end names them: no phone has the address of another.
    let (running, number) = (running.read().await, LAST.fetch_add(1, Ordering::Relaxed));
    let address = format!("198.18.{}.{}", number / 256, number % 256);
    let request = http
        .0
        .post(format!("{}/login", running.0))
        .header("X-Forwarded-For", address);
    let answer = http.send(request.json(&json!({"code": code}))).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    (answer.member("token"), answer.member("userId"))
}

async fn orders(running: &RwLock<(String, Process)>, http: &Http, token: &str) -> Answer {
    let running = running.read().await;
    http.send(
        http.0
            .get(format!("{}/orders", running.0))
            .bearer_auth(token),
    )
    .await
}

/// While `steps` are taken, and for some requests more, the users' phones send requests with their tokens again and
/// again, and each is answered to its user.
async fn while_users_ask<T>(
    running: &Arc<RwLock<(String, Process)>>,
    http: &Http,
    held: &[(String, String)],
    steps: impl Future<Output = T>,
) -> T {
    let is_done = Arc::<AtomicBool>::default();
    let mut phones = JoinSet::new();
    for first in 0..AT_ONCE {
        let (held, is_done, running, http) = (
            held.to_owned(),
            is_done.clone(),
            running.clone(),
            http.clone(),
        );
        phones.spawn(async move {
            let mut more = 0..REQUESTS / AT_ONCE;
            for (token, user_id) in held.iter().cycle().skip(first).step_by(AT_ONCE) {
                let answer = orders(&running, &http, token).await;
                assert_eq!(
                    (answer.status, &answer.member("userId")),
                    (200, user_id),
                    "{answer:?}"
                );
                if is_done.load(Ordering::Relaxed) && more.next().is_none() {
                    break;
                }
            }
        });
    }
    let taken = steps.await;
    is_done.store(true, Ordering::Relaxed);
    phones.join_all().await;
    taken
}

/// Tokens and user ids, in the order of the people.
async fn everybody_logs_in(bed: &TestBed, back_end: &BackEnd) -> Vec<(String, String)> {
    let people = json!({"person": "lin", "count": USERS, "distinct_people": true});
    let codes = bed.wechat.mint_codes(people).await;
    let mut logins = Vec::new();
    for codes in codes.chunks(AT_ONCE) {
        let tasks = codes.iter().cloned().map(|code| {
            let (running, http) = (Arc::clone(&back_end.running), back_end.http.clone());
            tokio::spawn(async move { log_in(&running, &http, &code).await })
        });
        for task in tasks.collect::<Vec<_>>() {
            logins.push(task.await.expect("a login"));
        }
    }
    logins
}

/// Each has a table of its own, whose ids are not those of the other.
#[tokio::test(flavor = "multi_thread")]
async fn the_back_ends_of_two_mini_programs_are_moved_to_one_wxmint() {
    let bed = TestBed::builder().two_apps().start().await;
    let mut back_ends = [
        BackEnd::of(&bed, APPID, APP_SECRET).await,
        BackEnd::of(&bed, OTHER_APPID, OTHER_SECRET).await,
    ];
    fs::write(back_ends[1].table(), "{\"id\":1000}\n").expect("a file");
    let (mut before, mut newcomers) = (Vec::new(), Vec::new());
    for back_end in &mut back_ends {
        before.push(back_end.log_in(&bed, "lin").await.1);
        back_end.run("import").await;
        back_end.deploy("accept").await;
        back_end.deploy("switch").await;
    }
    assert_eq!(before, ["1", "1001"]);
    for (back_end, before) in back_ends.iter().zip(&before) {
        let (token, user) = back_end.log_in(&bed, "lin").await;
        assert_eq!(
            (
                &user,
                orders(&back_end.running, &bed.http, &token).await.status
            ),
            (before, 200)
        );
        newcomers.push(
            back_end
                .log_in(&bed, &format!("newcomer of {before}"))
                .await
                .1,
        );
    }
    for (back_end, newcomer) in back_ends.iter_mut().zip(&newcomers) {
        back_end.run("take-back").await;
        let table = fs::read_to_string(back_end.table()).expect("readable");
        assert_eq!(
            newcomers
                .iter()
                .filter(|other| table.contains(*other))
                .collect::<Vec<_>>(),
            [newcomer]
        );
        back_end.deploy("roll-back").await;
    }
    for ((back_end, before), newcomer) in back_ends.iter().zip(&before).zip(&newcomers) {
        assert_eq!(back_end.log_in(&bed, "lin").await.1, *before);
        assert_eq!(
            back_end
                .log_in(&bed, &format!("newcomer of {before}"))
                .await
                .1,
            *newcomer
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow; make nightly runs it"]
async fn a_back_end_with_a_thousand_users_is_moved_without_a_refused_request() {
    let bed = TestBed::builder()
        .env("WXMINT_LIMIT_IP", "600/5m")
        .start()
        .await;
    let mut back_end = BackEnd::of(&bed, APPID, APP_SECRET).await;
    let (running, held) = (
        Arc::clone(&back_end.running),
        everybody_logs_in(&bed, &back_end).await,
    );
    let [mei, tao, hua] = [
        "mei, who comes after the import",
        "tao, who comes first to wxmint",
        "hua, who comes late",
    ];
    let user = async |back_end: &BackEnd, person| back_end.log_in(&bed, person).await.1;
    let [of_mei, of_tao] = while_users_ask(&running, &bed.http, &held, async {
        back_end.run("import").await;
        back_end.deploy("accept").await;
        let of_mei = user(&back_end, mei).await;
        back_end.deploy("switch").await;
        back_end.run("import").await;
        [of_mei, user(&back_end, tao).await]
    })
    .await;

    // All log in, as after their token's end, and are the users that they were.
    let logins = everybody_logs_in(&bed, &back_end);
    let again = while_users_ask(&running, &bed.http, &held, logins).await;
    assert!(
        held.iter()
            .zip(&again)
            .all(|((_, before), (_, now))| before == now),
        "a user id has changed"
    );
    assert_eq!(user(&back_end, mei).await, of_mei);

    while_users_ask(&running, &bed.http, &again, async {
        back_end.run("take-back").await;
        back_end.deploy("roll-back").await;
        assert_eq!(user(&back_end, tao).await, of_tao);
        let of_hua = user(&back_end, hua).await;
        back_end.deploy("switch").await;
        back_end.run("import").await;
        assert_eq!(user(&back_end, hua).await, of_hua);
        back_end.deploy("clean-up").await;
    })
    .await;
    assert_eq!(orders(&running, &bed.http, &held[0].0).await.status, 401);
}

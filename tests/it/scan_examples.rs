//! examples/scan-login and clients/web against the real service and the simulator: `tests/browser/scan.mjs` tells what
//! happens in the browser, and what a library does that knows nothing of wxmint.

use std::env;
use std::io::{BufRead, BufReader, Write};
use std::process::{Output, Stdio};

use rqrr::PreparedImage;

use crate::mini_program::client::built;
use crate::support::prelude::*;

const SECRET: &str = "planted-secret-of-the-one-on-duty-5e0c1d";
/// The deadline of a login at a command line, whose first question comes after 2 s.
const LOGIN: Duration = PATIENCE.saturating_mul(2);

/// wxmint with clients, and what a reader copies of the examples.
struct Site {
    bed: TestBed,
    folder: TempDir,
    /// Only the page has one.
    origin: String,
    secrets: Value,
    _clients: TempDir,
}

impl Site {
    async fn start() -> Self {
        let clients = tempfile::tempdir().expect("a folder");
        let (file, origin) = (
            clients.path().join("clients.json"),
            format!("http://127.0.0.1:{}", free_port()),
        );
        let page = format!("shop-page --origin {origin}");
        let oidc = "shop-site --public --redirect-uri http://127.0.0.1/cb";
        let secrets = ["shop-web", "shop-post", "shop-cli --public", &page, oidc].map(|words| {
            let client = words.split(' ').next().expect("a name").to_owned();
            (client, add_client(&file, words).into())
        });
        let bed = TestBed::builder()
            .at_its_issuer()
            .env("WXMINT_CLIENTS_FILE", &file.to_string_lossy())
            .operators(&format!("on-call {SECRET} read,operate,wechat\n"))
            .start()
            .await;
        let folder = node_folder();
        let examples = [
            "examples/scan-login",
            "examples/peers/node",
            "examples/mini-program",
            "clients/web",
        ];
        for part in [&examples[..], &["tests/browser", "tests/miniprogram"]].concat() {
            copy(&repository(part), &folder.path().join(part));
        }
        Self {
            bed,
            folder,
            origin,
            secrets: Value::Object(secrets.into_iter().collect()),
            _clients: clients,
        }
    }

    fn issuer(&self) -> &str {
        self.bed.configuration.value("WXMINT_ISSUER")
    }

    /// A program of the examples in Node, with these variables.
    async fn run(&self, file: &str, variables: &[(&str, &str)]) -> (Process, String) {
        let mut node = Command::new("node");
        let path = self.folder.path().join("examples").join(file);
        node.arg(path)
            .env_clear()
            .env("PATH", path_with_wxmint())
            .envs(variables.iter().copied());
        let mut process = Process::spawn(file, &mut node);
        let address = process.printed_address().await;
        (process, format!("http://{address}"))
    }

    async fn website(&self) -> (Process, String) {
        let secret = self.secrets["shop-web"].as_str().expect("a secret");
        let client = [
            ("CLIENT_ID", "shop-web"),
            ("CLIENT_SECRET", secret),
            ("ISSUER", self.issuer()),
        ];
        let site = [("SITE", "http://127.0.0.1"), ("PORT", "0")];
        self.run("scan-login/express/app.mjs", &[&client[..], &site].concat())
            .await
    }

    /// A story of tests/browser/scan.mjs, which asks for the text of each picture that the phone's camera takes.
    fn tell(&self, story: &str, address: &str, me: &str) {
        let known = json!({
            "service": self.bed.service().url(""), "simulator": self.bed.wechat.url(), "appid": APPID, "secret": SECRET,
            "admin": format!("http://{}", self.bed.service().admin), "secrets": self.secrets, "origin": self.origin,
            "page": self.folder.path().join("page"), "me": me, "package": built().join("package"),
        });
        // The page alone, as its README has it copied.
        copy(
            &repository("examples/scan-login/page"),
            &self.folder.path().join("page"),
        );
        copy(&repository("clients/web"), &self.folder.path().join("page"));
        let pictures = env::var_os("WXMINT_TEST_PICTURES")
            .map(|_| repository("target/screenshots"))
            .unwrap_or_default();
        let mut node = Command::new("node");
        node.arg(self.folder.path().join("tests/browser/scan.mjs"))
            .arg(address)
            .arg(pictures);
        node.args([story, &known.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut telling = node
            .spawn()
            .unwrap_or_else(|error| panic!("node: {error}; run: make setup"));
        let (mut answers, stdout) = (
            telling.stdin.take().expect("a pipe"),
            telling.stdout.take().expect("a pipe"),
        );
        let mut said = Vec::new();
        for line in BufReader::new(stdout)
            .lines()
            .map(|line| line.expect("text"))
        {
            match line.strip_prefix("camera: ") {
                Some(picture) => {
                    writeln!(answers, "{}", read_picture(picture)).expect("the story listens");
                }
                None => said.push(line),
            }
        }
        assert!(
            telling.wait().expect("an end").success() && said.contains(&"all as expected".into()),
            "{said:#?}"
        );
    }
}

/// `wxmint clients add`, with a `client_id` and options. The secret that it prints, or null.
fn add_client(file: &Path, words: &str) -> Option<String> {
    let all = format!(
        "clients add {words} --name 晨光商城 --appid {APPID} --page pages/scan/index --file"
    );
    let said = printed(
        Command::new(WXMINT)
            .args(all.split(' '))
            .arg(file)
            .env_clear(),
    );
    said.lines()
        .find_map(|line| line.strip_prefix("client_secret: "))
        .map(str::to_owned)
}

pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to.parent().expect("a folder")).expect("a folder");
    assert!(
        Command::new("cp")
            .arg("-rT")
            .args([from, to])
            .status()
            .expect("cp")
            .success(),
        "{}",
        from.display()
    );
}

pub(crate) fn printed(command: &mut Command) -> String {
    let Output {
        status,
        stdout,
        stderr,
    } = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}; run: make setup"));
    let [stdout, stderr] =
        [stdout, stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    assert!(status.success(), "{command:?}\n{stdout}\n{stderr}");
    stdout
}

#[test]
fn the_library_for_pages_is_small_and_its_own_tests_hold() {
    let folder = TempDir::new_in(tools("client")).expect("a folder");
    copy(&repository("clients/web"), folder.path());
    let printed = printed(
        Command::new("node")
            .args(["--test", "--test-reporter=tap"])
            .current_dir(&folder),
    );
    let passed = printed
        .lines()
        .find_map(|line| line.strip_prefix("# pass "))
        .map(str::parse);
    assert!(
        matches!(passed, Some(Ok(30..))) && printed.contains("# skipped 0"),
        "{printed}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_website_logs_its_user_in_by_a_scan_and_throws_a_banned_one_out() {
    let site = Site::start().await;
    let (_website, address) = site.website().await;
    site.tell("website", &address, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_without_a_back_end_logs_its_user_in_across_origins_and_keeps_the_token_in_memory() {
    let site = Site::start().await;
    let (app, port) = (
        site.folder.path().join("examples/peers/node/app.mjs"),
        free_port(),
    );
    let text = fs::read_to_string(&app)
        .expect("our own example")
        .replace("http://127.0.0.1:8080", site.issuer());
    fs::write(
        &app,
        text.replace("listen(8000,", &format!("listen({port},")),
    )
    .expect("written");
    let _orders = Process::spawn("orders", Command::new("node").arg(app));
    site.tell(
        "alone",
        &site.origin,
        &format!("http://127.0.0.1:{port}/orders"),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_library_that_knows_nothing_of_wxmint_logs_in_as_rfc_8628_has_it() {
    let site = Site::start().await;
    site.tell("foreign", ISSUER, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_of_sites_says_that_wechat_draws_no_picture_and_leaves_off_when_nobody_waits() {
    Site::start().await.tell("undrawn", ISSUER, "");
}

/// The text of a QR code, read by a decoder that shares no code with what draws them; "" if there is none.
fn read(width: usize, height: usize, pixel: impl FnMut(usize, usize) -> u8) -> String {
    let mut image = PreparedImage::prepare_from_greyscale(width, height, pixel);
    image
        .detect_grids()
        .first()
        .and_then(|grid| Some(grid.decode().ok()?.1))
        .unwrap_or_default()
}

/// `[width, pixels]` in JSON.
fn read_picture(picture: &str) -> String {
    let (width, pixels): (usize, Vec<u8>) = serde_json::from_str(picture).expect("a picture");
    read(width, pixels.len() / width, |x, y| pixels[y * width + x])
}

/// Reads what a terminal shows. Each letter is two modules, one above the other.
fn read_terminal(lines: &[String]) -> String {
    let shown = |line: &&String| line.contains('█');
    let rows: Vec<Vec<char>> = lines
        .iter()
        .filter(shown)
        .map(|line| {
            line.chars()
                .filter(|letter| " █▀▄".contains(*letter))
                .collect()
        })
        .collect();
    let (width, height, scale) = (rows[0].len(), rows.len() * 2, 4);
    let is_light = |x: usize, y: usize| {
        let upper = y.is_multiple_of(2);
        match rows[y / 2][x] {
            '█' => true,
            '▀' => upper,
            '▄' => !upper,
            _ => false,
        }
    };
    let pixel = |x: usize, y: usize| {
        if is_light(x / scale, y / scale) {
            255
        } else {
            0
        }
    };
    read(width * scale, height * scale, pixel)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_line_shows_a_code_that_a_scanner_reads_and_prints_the_token_alone() {
    let site = Site::start().await;
    let mut bash = Command::new("bash");
    bash.arg(repository("examples/scan-login/login.sh"))
        .env_clear();
    bash.envs([
        ("PATH", &*path_with_wxmint()),
        ("ISSUER", site.issuer()),
        ("CLIENT_ID", "shop-cli"),
    ]);
    let mut login = Process::spawn("login.sh", &mut bash);
    let number = login
        .says("Tap this number on your phone: ")
        .await
        .split_off("Tap this number on your phone: ".len());
    let link = read_terminal(&login.stderr());
    let code = link
        .strip_prefix(&format!("{}/device?user_code=", site.issuer()))
        .unwrap_or_else(|| panic!("{link}"));

    let (service, phone) = (
        site.bed.service(),
        site.bed.log_in("lin").await.member("access_token"),
    );
    let asked = service
        .ask("GET", &format!("/device/{code}"), &phone, &Value::Null)
        .await;
    assert!(
        asked.json()["choices"]
            .as_array()
            .is_some_and(|all| all.contains(&number.as_str().into())),
        "{asked:?}"
    );
    login.says("Scanned. Confirm on your phone.").await;
    let approval = json!({"code": site.bed.mint_code("lin").await, "match": number});
    let approved = service
        .ask(
            "POST",
            &format!("/device/{code}/approve"),
            &phone,
            &approval,
        )
        .await;
    assert_eq!(approved.status, 204, "{approved:?}");

    assert!(login.end(LOGIN + BUSY).await.success());
    let [token] = &login.stdout()[..] else {
        panic!("{:?}", login.stdout())
    };
    let [of_page, of_phone] = [token, &phone].map(|token| decoded(token).1);
    assert_eq!(
        (&of_page["client_id"], &of_page["sub"]),
        (&"shop-cli".into(), &of_phone["sub"])
    );
    assert!(!login.stderr().join("\n").contains(token.as_str()));
}

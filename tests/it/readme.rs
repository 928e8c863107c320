//! The README's commands do what it says, and the pages of both languages show the same programs.
//!
//! A fenced block is run, or compared with a file, when the line above it is `<!-- test: NAME -->`: first `run`, of
//! which the last two lines are commands that run on, then `login` and `console` beside them.

use crate::support::prelude::*;
use std::net::TcpListener;

const COMMANDS: [&str; 3] = ["run", "login", "console"];
/// The marked blocks that show a file of `tests/verifiers`.
const FILES: [(&str, &str); 3] = [
    ("verify-node", "verify.mjs"),
    ("verify-python", "verify.py"),
    ("verify-go", "verify.go"),
];
/// The pages with marked blocks.
const PAGES: [&str; 2] = ["README", "docs/verify"];

/// Where `wxmint simulator` listens unless told otherwise.
const SIMULATOR_PORT: u16 = 8090;

/// The marked blocks of a page, by name.
pub(crate) fn blocks(markdown: &str) -> BTreeMap<&str, String> {
    let mut lines = markdown.lines();
    let mut blocks = BTreeMap::new();
    while let Some(line) = lines.next() {
        let Some(name) = line
            .strip_prefix("<!-- test: ")
            .and_then(|rest| rest.strip_suffix(" -->"))
        else {
            continue;
        };
        let fence = lines.next().unwrap_or_default();
        assert!(
            fence.starts_with("```"),
            "no fence directly below the marker of {name}"
        );
        let text: String = lines
            .by_ref()
            .take_while(|line| *line != "```")
            .flat_map(|line| [line, "\n"])
            .collect();
        assert!(
            blocks.insert(name, text).is_none(),
            "two blocks are named {name}"
        );
    }
    blocks
}

fn page(name: &str) -> String {
    fs::read_to_string(repository(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The marked blocks of all pages of one language.
fn all_blocks(ending: &str) -> BTreeMap<String, String> {
    let pages = PAGES.map(|name| page(&format!("{name}{ending}")));
    pages
        .iter()
        .flat_map(|page| blocks(page))
        .map(|(name, text)| (name.to_owned(), text))
        .collect()
}

/// The block of that name, which must be there.
fn block(page: &str, name: &str) -> String {
    blocks(page)
        .remove(name)
        .unwrap_or_else(|| panic!("README.md has no block marked `<!-- test: {name} -->`"))
}

/// A reader's shell: an empty folder, and `wxmint` on the path.
struct Shell {
    folder: TempDir,
    environment: BTreeMap<String, String>,
    ports: BTreeMap<u16, u16>,
}

impl Shell {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let home = folder.path().display().to_string();
        let mut shell = Self {
            folder,
            environment: BTreeMap::from([
                ("PATH".to_owned(), path_with_wxmint()),
                ("HOME".to_owned(), home),
            ]),
            ports: BTreeMap::new(),
        };
        // The defaults, as long as they are free.
        for (name, port) in [("WXMINT_LISTEN", 8080), ("WXMINT_ADMIN_LISTEN", 9090)] {
            let address = format!("127.0.0.1:{}", shell.port(port));
            shell.environment.insert(name.to_owned(), address);
        }
        shell
    }

    /// The port as written if it is free, or else one that is.
    fn port(&mut self, written: u16) -> u16 {
        *self.ports.entry(written).or_insert_with(|| {
            match TcpListener::bind(("127.0.0.1", written)) {
                Ok(_) => written,
                Err(_) => free_port(),
            }
        })
    }

    /// The commands with every port of this machine looked up in [`Shell::port`].
    fn localized(&mut self, commands: &str) -> String {
        let mut pieces = commands.split("127.0.0.1:");
        let mut text = pieces.next().unwrap_or_default().to_owned();
        for piece in pieces {
            let digits = piece.bytes().take_while(u8::is_ascii_digit).count();
            let port = self.port(piece[..digits].parse().expect("a port"));
            text.push_str(&format!("127.0.0.1:{port}{}", &piece[digits..]));
        }
        text
    }

    fn command(&mut self, commands: &str) -> Command {
        let mut bash = Command::new("bash");
        bash.args(["-euo", "pipefail", "-c", &self.localized(commands)]);
        bash.current_dir(self.folder.path())
            .env_clear()
            .envs(&self.environment);
        bash
    }

    /// Runs commands to their end, and returns what they print.
    fn run(&mut self, commands: &str) -> String {
        let output = self.command(commands).output().expect("bash");
        assert!(output.status.success(), "{commands}\n{output:?}");
        String::from_utf8(output.stdout).expect("text")
    }

    /// The simulator's own default has no variable. If it is taken, `.env` has the wrong one.
    fn simulator(&mut self, command: &str) -> Process {
        let command = match self.port(SIMULATOR_PORT) {
            SIMULATOR_PORT => command.to_owned(),
            other => {
                self.environment.insert(
                    "WXMINT_WECHAT_URL".into(),
                    format!("http://127.0.0.1:{other}"),
                );
                format!("{command} --listen 127.0.0.1:{other}")
            }
        };
        self.spawn("the README's simulator", &command)
    }

    /// Starts one command that runs until it is dropped.
    fn spawn(&mut self, name: &str, command: &str) -> Process {
        Process::spawn(name, &mut self.command(&format!("exec {command}")))
    }
}

/// The text before this path in the README's link.
fn readme_link<'a>(readme: &'a str, path: &str) -> &'a str {
    let mut links = readme.split('<').filter_map(|rest| rest.split('>').next());
    links
        .find_map(|link| link.strip_suffix(path))
        .unwrap_or_else(|| panic!("README.md links to no {path}"))
}

fn is_event(line: &str, message: &str) -> bool {
    serde_json::from_str::<Value>(line).is_ok_and(|event| event["message"] == message)
}

async fn has_said(process: &mut Process, what: &str, said: fn(&Process) -> bool) {
    eventually(what, PATIENCE, async || {
        assert!(process.ended().is_none(), "{what}: {:?}", process.stderr());
        said(process).then_some(())
    })
    .await;
}

/// The files that git would add if the commands had been run in a checkout.
fn left_for_git(shell: &mut Shell) -> String {
    shell.run("git init --quiet");
    fs::copy(
        repository(".gitignore"),
        shell.folder.path().join(".git/info/exclude"),
    )
    .expect("our own .gitignore");
    shell.run("git status --porcelain --untracked-files=all")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_readmes_commands_log_a_person_in_open_the_console_and_leave_nothing_for_git_to_add() {
    let readme = page("README.md");
    let [run, login, console] = COMMANDS.map(|name| block(&readme, name));
    let lines: Vec<_> = run.lines().collect();
    let [init @ .., simulator, serve] = &lines[..] else {
        panic!("two commands that run on: {run}")
    };
    let mut shell = Shell::new();

    shell.run(&init.join("\n"));
    let mut simulator = shell.simulator(simulator.strip_suffix(" &").expect("it runs on"));
    has_said(&mut simulator, "the simulator listens", |it| {
        it.stdout().iter().any(|line| line.contains("http://"))
    })
    .await;
    let mut service = shell.spawn("the README's service", serve);
    has_said(&mut service, "the service is ready", |it| {
        it.stderr().iter().any(|line| is_event(line, "ready"))
    })
    .await;
    let printed = shell.run(&login);
    assert!(printed.contains("\"access_token\":\"eyJ"), "{printed}");
    let [page, whoami] = ["console", "whoami"].map(|path| {
        let (secret, start) = (console.trim_end(), readme_link(&readme, "/console"));
        shell.run(&format!(
            "curl -sf -H \"Authorization: Bearer $({secret})\" {start}/{path}"
        ))
    });
    assert!(page.starts_with("<!doctype html>"), "{page}");
    assert!(whoami.contains("\"name\":\"me\""), "{whoami}");
    assert_eq!(left_for_git(&mut shell), "");
}

#[test]
fn the_example_of_settings_is_read_by_wxmint_and_by_a_shell() {
    let mut shell = Shell::new();
    fs::copy(repository(".env.example"), shell.folder.path().join(".env"))
        .expect("our own .env.example");
    assert_eq!(
        shell.run("set -a; . ./.env; echo $WXMINT_APPID"),
        "wx0123456789abcdef\n"
    );
    let refused = shell.run("wxmint keys list 2>&1 || true");
    assert!(
        refused.contains("keys.json: No such file"),
        "WXMINT_KEYS is that of the file: {refused}"
    );
}

/// `--json` came with curl 7.82; Debian 11, Ubuntu 22.04 and Alibaba Cloud Linux 3 have older ones.
#[test]
fn no_page_wants_a_newer_curl_than_distributions_have() {
    let help = wxmint()
        .args(["simulator", "--help"])
        .output()
        .expect("wxmint");
    let help = (
        PathBuf::from("wxmint simulator --help"),
        String::from_utf8_lossy(&help.stdout).into_owned(),
    );
    for (name, text) in pages().into_iter().chain([help]) {
        let newer = text
            .lines()
            .find(|line| line.contains("curl") && line.contains("--json"));
        assert_eq!(newer, None, "{}", name.display());
    }
}

#[test]
fn the_pages_show_the_verifiers_that_are_tested() {
    let shown = all_blocks(".md");
    for (name, file) in FILES {
        assert_eq!(
            shown[name],
            page(&format!("tests/verifiers/{file}")),
            "{name}"
        );
    }
}

/// Otherwise a reader who copies one of them would believe the README's promise of ten seconds.
#[test]
fn the_short_programs_say_that_they_accept_revoked_tokens_and_where_one_is_that_does_not() {
    for (name, file) in FILES {
        let program = page(&format!("tests/verifiers/{file}"));
        let told = program
            .lines()
            .find_map(|line| line.split_once(" Accepts a revoked token until its exp: "));
        let (_, told) =
            told.unwrap_or_else(|| panic!("{file} does not say that it follows no revocations"));
        let (example, _) = told
            .split_once(" also follows the revocations")
            .expect("an example");
        let follows = fs::read_dir(repository(example))
            .expect("an example")
            .any(|entry| {
                entry
                    .expect("an entry")
                    .file_name()
                    .to_string_lossy()
                    .starts_with("revocations.")
            });
        assert!(follows, "{example} follows no revocations");
        for (ending, accepts) in [
            (".md", "until its `exp`.**"),
            (".zh-CN.md", "的 `exp` 之前"),
        ] {
            let pages = PAGES.map(|name| page(&format!("{name}{ending}")));
            let above = pages
                .iter()
                .find_map(|page| page.split_once(&format!("<!-- test: {name} -->")));
            let (above, _) = above.expect("a page shows it");
            let (_, section) = above.rsplit_once("\n## ").expect("a section");
            assert!(
                section.contains(accepts) && section.contains(example),
                "above {file}: {section}"
            );
        }
    }
}

#[test]
fn every_marked_block_is_run_or_compared() {
    let known = COMMANDS
        .into_iter()
        .chain(FILES.map(|(name, _)| name))
        .map(str::to_owned)
        .collect::<BTreeSet<_>>();
    assert_eq!(
        all_blocks(".md").into_keys().collect::<BTreeSet<_>>(),
        known
    );
}

#[test]
fn both_languages_show_the_same_blocks_and_a_file_as_it_is() {
    assert_eq!(all_blocks(".md"), all_blocks(".zh-CN.md"));
    for name in ["redis", "move", "after-login", "operation", "accounts"] {
        let [english, chinese] =
            [".md", ".zh-CN.md"].map(|ending| page(&format!("docs/{name}{ending}")));
        assert_eq!(blocks(&english), blocks(&chinese), "{name}");
        for shown in [&english, &chinese]
            .map(|page| page.split("<!-- same as: ").skip(1))
            .into_iter()
            .flatten()
        {
            let (file, rest) = shown.split_once(" -->\n```").expect("a block");
            let (_, shown) = rest.split_once('\n').expect("a language");
            assert!(
                shown.starts_with(&format!("{}```\n", page(file))),
                "docs/{name} shows another {file}"
            );
        }
    }
}

#[test]
fn the_readme_shows_the_demo_before_anything_else_that_is_run() {
    for name in ["README.md", "README.zh-CN.md"] {
        let page = page(name);
        let first = page
            .split("```sh\n")
            .nth(1)
            .and_then(|rest| rest.lines().next());
        assert_eq!(first, Some("make demo"), "{name}");
    }
}

/// The pages of the repository, by path.
pub(crate) fn pages() -> BTreeMap<PathBuf, String> {
    let listed = Command::new("git")
        .args(["ls-files", "*.md"])
        .current_dir(repository(""))
        .output()
        .expect("git");
    let names = String::from_utf8(listed.stdout).expect("names");
    names
        .lines()
        .map(|name| (repository(name), page(name)))
        .collect()
}

/// The anchors of a page's headings, as GitHub makes them.
fn anchors(page: &str) -> BTreeSet<String> {
    let headings = page
        .lines()
        .filter(|line| line.starts_with('#'))
        .map(|line| line.trim_start_matches(['#', ' ']));
    let is_kept = |letter: &char| letter.is_alphanumeric() || ['-', '_', ' '].contains(letter);
    headings
        .map(|text| {
            text.to_lowercase()
                .chars()
                .filter(is_kept)
                .collect::<String>()
                .replace(' ', "-")
        })
        .collect()
}

#[test]
fn every_link_between_pages_leads_to_a_file_and_a_heading() {
    let pages = pages();
    for (path, text) in &pages {
        let links = text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split([')', ' ', '\n']).next());
        for link in links.filter(|link| !link.contains(':')) {
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = path.parent().expect("a folder").join(file);
            let target = if file.is_empty() {
                path.clone()
            } else {
                target.canonicalize().unwrap_or(target)
            };
            assert!(target.exists(), "{}: {link}", path.display());
            let is_heading = |page: &String| anchor.is_empty() || anchors(page).contains(anchor);
            assert!(
                pages.get(&target).is_none_or(is_heading),
                "{}: {link}",
                path.display()
            );
        }
    }
}

/// Without its comments, which are translated.
fn code(text: &str) -> String {
    let lines = text
        .lines()
        .map(|line| if line.starts_with("// ") { "" } else { line });
    lines
        .flat_map(|line| {
            [
                line.split(" // ").next().unwrap_or_default().trim_end(),
                "\n",
            ]
        })
        .collect()
}

#[test]
fn the_pages_for_mini_programs_show_the_files_that_are_tested() {
    for (shown, files) in [
        ("mini-program", ["utils/login.js", "pages/orders/orders.js"]),
        (
            "mini-program",
            ["utils/user-data.js", "pages/steps/steps.js"],
        ),
        ("after-login", ["utils/sale.js", "utils/message.js"]),
    ] {
        let [english, chinese] =
            [format!("docs/{shown}.md"), format!("docs/{shown}.zh-CN.md")].map(|name| page(&name));
        for file in files {
            let file = page(&format!("examples/mini-program/{file}"));
            assert!(
                english.contains(&format!("```js\n{file}```\n")),
                "docs/{shown}.md lacks, or has otherwise:\n{file}"
            );
            assert!(
                code(&chinese).contains(&code(&format!("```js\n{file}```\n"))),
                "docs/{shown}.zh-CN.md: {file}"
            );
        }
    }
}

#[test]
fn no_page_has_a_login_of_a_mini_program_but_the_one_of_the_file() {
    let file = code(&page("examples/mini-program/utils/login.js"));
    let docs = fs::read_dir(repository("docs"))
        .expect("docs")
        .map(|entry| entry.expect("a page").path());
    let mut found = 0;
    for place in docs.chain(["README.md", "README.zh-CN.md"].map(repository)) {
        let Ok(text) = fs::read_to_string(&place) else {
            continue;
        };
        for block in text
            .split("```js\n")
            .skip(1)
            .filter_map(|rest| rest.split("```").next())
        {
            if block.contains("wx.login(") {
                assert_eq!(code(block), file, "{}", place.display());
                found += 1;
            }
        }
    }
    assert_eq!(found, 2, "docs/mini-program.md in both languages");
}

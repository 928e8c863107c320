//! The index of `examples`, and examples/simulator: tests that readers copy, run as they are in their frameworks.

use std::env;
use std::process::Output;

use crate::readme::pages;
use crate::support::prelude::*;
use crate::user_ids::{ID_KEY, by_example};

/// The files that docs/simulator leads to.
const FILES: [&str; 5] = [
    "test_login.py",
    "login.test.mjs",
    "LoginTest.java",
    "github.yml",
    "gitlab-ci.yml",
];
/// Debian's JUnit 5.
const JARS: &str = "junit-jupiter-api junit-jupiter-engine junit-platform-commons junit-platform-console \
     junit-platform-engine junit-platform-launcher junit-platform-reporting apiguardian-api opentest4j picocli \
     univocity-parsers";

/// They say so in place of a user id that is nobody's.
#[test]
fn programs_that_compute_user_ids_want_an_id_key_of_32_bytes() {
    let programs = [
        &["python3", "user_id.py"][..],
        &["java", "UserId.java"],
        &["go", "run", "user_id.go"],
    ];
    for program in programs {
        for key in [
            "",
            "AAECAwQFBgc=",
            &ID_KEY.replace('=', "=!"),
            &ID_KEY.repeat(2),
        ] {
            assert_eq!(
                by_example(program, key, &["a"]),
                None,
                "{program:?}: {key:?}"
            );
        }
    }
}

#[test]
fn every_folder_of_examples_has_a_readme_and_is_in_the_index_in_both_languages() {
    let (pages, examples) = (pages(), repository("examples"));
    let folders = ["", "peers/"].map(|parent| {
        fs::read_dir(examples.join(parent))
            .expect("a folder")
            .map(move |entry| {
                let name = entry
                    .expect("an entry")
                    .file_name()
                    .into_string()
                    .expect("a name");
                format!("{parent}{name}")
            })
    });
    let is_example = |name: &String| name != "peers" && examples.join(name).is_dir();
    let folders: Vec<_> = folders.into_iter().flatten().filter(is_example).collect();
    assert!(folders.len() > 20, "{folders:?}");
    for ending in ["", ".zh-CN"] {
        let index = &pages[&examples.join(format!("README{ending}.md"))];
        for folder in &folders {
            assert!(
                index.contains(&format!("]({folder})")),
                "{folder} is not in examples/README{ending}.md"
            );
            assert!(
                pages.contains_key(&examples.join(format!("{folder}/README{ending}.md"))),
                "{folder}/README{ending}.md"
            );
        }
    }
}

#[test]
fn the_pages_of_the_simulator_lead_to_the_tests_and_recipes() {
    let pages = pages();
    for (file, page) in FILES
        .into_iter()
        .flat_map(|file| ["", ".zh-CN"].map(|ending| (file, ending)))
    {
        let page = &pages[&repository(format!("docs/simulator{page}.md"))];
        assert!(
            page.contains(&format!("[{file}](../examples/simulator/{file})")),
            "{file}"
        );
    }
}

/// A reader's project with this file, and `wxmint` on the path.
fn run(file: &str, command: &str) -> Output {
    let folder = TempDir::new().expect("a folder");
    fs::copy(
        repository("examples/simulator").join(file),
        folder.path().join(file),
    )
    .expect("an example");
    let wxmint = repository(WXMINT);
    let own = [
        wxmint.parent().expect("a folder").to_owned(),
        tools("python/bin"),
    ];
    let paths = env::var_os("PATH").unwrap_or_default();
    let path = env::join_paths(own.into_iter().chain(env::split_paths(&paths))).expect("a path");
    let mut bash = Command::new("bash");
    bash.args(["-euo", "pipefail", "-c", command])
        .current_dir(&folder)
        .env("PATH", path);
    // A proxy of the machine's would be asked for this machine.
    bash.envs([("NO_PROXY", "127.0.0.1"), ("no_proxy", "127.0.0.1")])
        .output()
        .expect("bash")
}

#[track_caller]
fn passes(file: &str, command: &str, said: &str) {
    let output = run(file, command);
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && stdout.contains(said),
        "{output:?}; run: make setup"
    );
}

#[test]
fn the_test_for_node_passes() {
    passes("login.test.mjs", "node --test", "# pass 2\n");
}

#[test]
fn the_test_for_pytest_passes() {
    passes("test_login.py", "pytest -p no:cacheprovider", "2 passed");
}

#[test]
fn the_test_for_junit_passes() {
    let jars: Vec<_> = JARS
        .split_whitespace()
        .map(|jar| format!("/usr/share/java/{jar}.jar"))
        .collect();
    let (jars, console) = (jars.join(":"), "org.junit.platform.console.ConsoleLauncher");
    let compile =
        format!("javac -J-XX:TieredStopAtLevel=1 -proc:none -d classes -cp {jars} LoginTest.java");
    let run = format!(
        "java -XX:TieredStopAtLevel=1 -cp classes:{jars} {console} --disable-ansi-colors -c LoginTest"
    );
    passes(
        "LoginTest.java",
        &format!("{compile} && {run}"),
        "[         2 tests successful      ]",
    );
}

#[test]
fn the_tests_fail_if_the_back_end_does() {
    for (file, command) in [
        ("login.test.mjs", "node --test"),
        ("test_login.py", "pytest -p no:cacheprovider"),
    ] {
        let output = run(file, &format!("WXMINT_ISSUER=nonsense {command}"));
        let stdout = String::from_utf8_lossy(&output.stdout);
        assert!(
            !output.status.success() && stdout.contains("WXMINT_ISSUER is not a URL"),
            "{output:?}"
        );
    }
}

#[test]
fn the_recipes_for_ci_install_wxmint_and_run_tests() {
    let script = "import json, sys, yaml; json.dump(yaml.safe_load(open(sys.argv[1])), sys.stdout)";
    for (file, install) in [
        ("github.yml", "/jobs/test/steps/2/run"),
        ("gitlab-ci.yml", "/wxmint/script/0"),
    ] {
        let output = run(file, &format!("python -c '{script}' {file}"));
        let recipe: serde_json::Value =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
        let command = recipe
            .pointer(install)
            .and_then(|it| it.as_str())
            .unwrap_or_else(|| panic!("{file}: {recipe}"));
        assert!(
            command.contains("install --locked") && command.contains("--rev \"$COMMIT\" wxmint"),
            "{command}"
        );
    }
}

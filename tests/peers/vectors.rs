//! The test vectors of docs/revocation-feed against the examples whose files can be asked page by page. The verifier's
//! own test of them is `crates/verify/tests/feed_vectors.rs`, and that of the library for Java is `VectorsTest`.

use std::{env, fs, process::Command};

use tempfile::TempDir;

use crate::example::example_folder;
use crate::php;
use crate::support::{Ended, go, repository, tools};

fn vectors() -> String {
    let folder = repository("docs/revocation-feed/vectors");
    folder.to_str().expect("UTF-8").to_owned()
}

/// The number of tests that the script has compared.
fn compared(script: &mut Command) -> usize {
    let told = Ended::of(script, "").expect_success().stdout;
    let (count, rest) = told.split_once(" tests, ").expect("a count");
    assert!(rest.starts_with("0 faults"), "{told}");
    count.parse().expect("a number")
}

#[test]
fn the_python_example_finds_what_the_vectors_say() {
    let mut python = Command::new(tools("python/bin/python"));
    python
        .arg(repository("tests/peers/vectors/run.py"))
        .args([
            vectors().as_ref(),
            repository("examples/peers/python").as_os_str(),
        ])
        .env("PYTHONDONTWRITEBYTECODE", "1");
    assert!(compared(&mut python) > 150);
}

#[test]
fn the_node_example_finds_what_the_vectors_say() {
    // Node looks for packages above the script's own folder.
    let folder = TempDir::new_in(tools("node")).expect("a folder");
    for file in [
        "tests/peers/vectors/run.mjs",
        "examples/peers/node/revocations.mjs",
    ] {
        let path = repository(file);
        let name = path.file_name().expect("a name");
        fs::copy(&path, folder.path().join(name)).expect("a copy");
    }
    let mut node = Command::new("node");
    node.arg(folder.path().join("run.mjs")).arg(vectors());
    assert!(compared(&mut node) > 140);
}

#[test]
fn the_go_example_finds_what_the_vectors_say() {
    let closed = [("failClosed      = false", "failClosed      = true")];
    let folder = example_folder("go", &closed);
    let runner = folder.path().join("run_test.go");
    fs::copy(repository("tests/peers/vectors/run_test.go"), runner).expect("a copy");
    let mut test = Command::new(go());
    test.args(["test", "-count=1", "-v", "-run", "TestVectors", "."])
        .current_dir(&folder)
        .env("VECTORS", vectors());
    let told = Ended::of(&mut test, "").expect_success().stdout;
    let count = told
        .split_once(" tests, 0 faults")
        .and_then(|(before, _)| before.lines().last()?.parse::<usize>().ok());
    assert!(count.is_some_and(|count| count > 150), "{told}");
}

/// With the library of `make nightly`, else with `php_jwt.php`, which knows ES256 alone.
#[test]
#[ignore = "nightly, which installs PHP"]
fn php_the_example_finds_what_the_vectors_say() {
    let settings = [
        ("http://127.0.0.1:8080", "https://login.example.com"),
        (
            "AUDIENCE = self::ISSUER",
            "AUDIENCE = 'https://api.example.com'",
        ),
        ("FAIL = 'open'", "FAIL = 'closed'"),
    ];
    let folder = example_folder("php", &settings);
    let library = env::var("WXMINT_TEST_PHP_JWT");
    php::write_autoload(folder.path());
    let mut command = Command::new("php");
    command
        .arg(repository("tests/peers/vectors/run.php"))
        .arg(vectors())
        .arg(folder.path().join("vendor/autoload.php"));
    if library.is_err() {
        command.arg("ES256");
    }
    assert!(compared(&mut command) > 150);
}

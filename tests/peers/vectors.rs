//! The test vectors of docs/revocation-feed against the examples whose files can be asked page by page. The verifier's
//! own test of them is `crates/verify/tests/feed_vectors.rs`.

use std::{fs, process::Command};

use tempfile::TempDir;

use crate::support::{Ended, repository, tools};

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

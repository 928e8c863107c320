//! examples/peers/java-spring with Spring Security, whose jars only Maven's registry has. Whoever reaches it runs these:
//!
//!     SPRING_CLASSPATH=JARS cargo test --features kubernetes --test peers java_spring -- --ignored --test-threads=1
//!
//! JARS is what `mvn dependency:build-classpath` prints of a project with the two dependencies that the example names.

use std::{env, fs, net::SocketAddr, process::Command, time::Duration};

use crate::{
    checks,
    example::{Example, Started, copy_example},
    raw::Request,
    scene::Scene,
    support::{Process, eventually, free_port, repository},
};

/// For a JVM, Tomcat and Spring on a busy machine.
const START: Duration = Duration::from_secs(60);

/// Of the issuer at this address, with settings in place of those that the files have.
fn start(issuer: SocketAddr, settings: &[(&str, &str)]) -> Started {
    let jars = env::var("SPRING_CLASSPATH").expect("SPRING_CLASSPATH, the jars of Spring");
    let (port, folder) = (free_port(), tempfile::tempdir().expect("a folder"));
    copy_example("java-spring", settings, folder.path());
    fs::copy(repository("tests/peers/SpringMain.java"), folder.path().join("SpringMain.java")).expect("a copy");
    let jars = format!(".:{jars}");
    let mut javac = Command::new("javac");
    javac.current_dir(&folder).args(["-proc:none", "-parameters", "-d", ".", "-cp", &jars]);
    javac.args(["SpringMain.java", "Ends.java", "OrdersController.java", "SecurityConfig.java"]);
    let compiled = javac.output().unwrap_or_else(|error| panic!("javac: {error}; run: make setup"));
    assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
    let mut java = Command::new("java");
    java.current_dir(&folder).args(["-cp", &jars]);
    java.args(["issuer", "audience"].map(|name| format!("-Dwxmint.{name}=http://{issuer}")));
    java.args(["com.example.orders.SpringMain", &port.to_string()]);
    let process = Process::spawn("java", &mut java);
    Started { example: Example::new("java-spring", port), process, folder }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Spring's jars"]
async fn spring_takes_our_tokens_alone() {
    let scene = Scene::start().await;
    let Started { example, .. } = &start(scene.address(), &[]);
    eventually("it has keys", START, async || scene.is_let_in(example).await).await;
    checks::verifies_by_itself(&scene, example, &[], checks::LOOKS_AT_THE_FEED).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Spring's jars"]
async fn spring_learns_of_a_new_key_and_of_a_removed_one_when_it_looks() {
    let scene = Scene::start().await;
    let often = [
        (
            "cache(Duration.ofMinutes(5).toMillis(), Duration.ofSeconds(10)",
            "cache(Duration.ofSeconds(3).toMillis(), Duration.ofSeconds(1)",
        ),
        ("refreshAheadCache(Duration.ofMinutes(1)", "refreshAheadCache(Duration.ofSeconds(1)"),
        ("rateLimited(Duration.ofSeconds(10)", "rateLimited(Duration.ofMillis(100)"),
    ];
    let Started { example, .. } = &start(scene.address(), &often);
    eventually("it has keys", START, async || scene.is_let_in(example).await).await;
    checks::learns_of_keys(&scene, example, Duration::from_secs(3)).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Spring's jars"]
async fn spring_started_before_the_issuer_lets_nobody_in_until_it_has_keys() {
    let scene = Scene::without_issuer().await;
    let Started { example, .. } = &start(scene.address(), &[]);
    let answers = async || Request::get("/public/hello").send(example.address).await.ok().map(drop);
    eventually("it runs", START, answers).await;
    checks::starts_before_the_issuer(&scene, example).await;
}

//! Examples on clients/java with Spring Boot: each a Maven project, built and started as its page says. With another
//! Boot than that of their `pom.xml`: `WXMINT_TEST_SPRING_BOOT=4.0.7 cargo test --test peers -- --ignored java_`.

use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};
use std::{env, fs};

use tempfile::TempDir;

use crate::example::{Example, Started, copy_folders};
use crate::support::{Answering, Http, Manner, PATIENCE, Process, free_port, repository};

/// For a JVM, Tomcat and Spring on a busy machine.
const START: Duration = PATIENCE.saturating_mul(18);

/// Versions that the examples name, and those of the Spring Cloud that is for Boot 4.
const BOOT: &str = "<version>3.5.7</version>";
const CLOUD: [&str; 2] = ["<version>2025.0.0</version>", "<version>2025.1.4</version>"];

/// In the example's `pom.xml`: the library has both.
const WEBFLUX: (&str, &str) = (
    "boot-starter-web</artifactId>\n\t\t</dependency>",
    "boot-starter-webflux</artifactId>\n\t\t</dependency>",
);

/// In `example` this one of examples/peers, and beside it in `library` what it needs.
pub(crate) fn copy(name: &str, settings: &[(&str, &str)]) -> TempDir {
    copy_of(&format!("examples/peers/{name}"), settings)
}

/// The same of a folder of the repository.
pub(crate) fn copy_of(from: &str, settings: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let [library, example] = ["library", "example"].map(|name| folder.path().join(name));
    for folder in [&library, &example] {
        fs::create_dir(folder).expect("a new folder");
    }
    copy_folders(&[(from, &example), ("clients/java", &library)], settings);
    fs::copy(
        repository("tests/peers/java.xml"),
        folder.path().join("pom.xml"),
    )
    .expect("a copy");
    folder
}

/// Starts the example for the issuer at this address, with these settings. Returns when it listens.
pub(crate) fn start(issuer: SocketAddr, settings: &[(&str, &str)]) -> Started {
    start_with(issuer, settings, &[])
}

/// The same on WebFlux.
pub(crate) fn start_webflux(issuer: SocketAddr, settings: &[(&str, &str)]) -> Started {
    let folder = copy("java-spring", &[settings, &[WEBFLUX]].concat());
    let chain = folder
        .path()
        .join("example/src/main/java/com/example/orders/OrdersApplication.java");
    fs::copy(repository("tests/peers/webflux.java"), chain).expect("a copy");
    run("java-spring", folder, issuer, &[])
}

/// The example with the files of examples/move/spring and these properties.
pub(crate) fn start_with(
    issuer: SocketAddr,
    settings: &[(&str, &str)],
    properties: &[String],
) -> Started {
    start_beside("examples/move/spring", issuer, settings, properties)
}

fn start_beside(
    more: &str,
    issuer: SocketAddr,
    settings: &[(&str, &str)],
    properties: &[String],
) -> Started {
    let (folder, orders) = (
        copy("java-spring", settings),
        "src/main/java/com/example/orders",
    );
    for file in fs::read_dir(repository(more).join(orders)).expect("a folder") {
        let file = file.expect("an entry");
        fs::copy(
            file.path(),
            folder
                .path()
                .join("example")
                .join(orders)
                .join(file.file_name()),
        )
        .expect("a copy");
    }
    run("java-spring", folder, issuer, properties)
}

/// Builds what is in this folder, and starts it for this issuer. Returns when it listens.
pub(crate) fn run(
    name: &'static str,
    folder: TempDir,
    issuer: SocketAddr,
    properties: &[String],
) -> Started {
    run_at(free_port(), name, folder, issuer, properties)
}

/// The same at this port.
pub(crate) fn run_at(
    port: u16,
    name: &'static str,
    folder: TempDir,
    issuer: SocketAddr,
    properties: &[String],
) -> Started {
    build(folder.path());
    let target = fs::read_dir(folder.path().join("example/target")).expect("a folder");
    let jar = target
        .map(|file| file.expect("an entry").path())
        .find(|file| file.extension().is_some_and(|it| it == "jar"));
    let mut java = Command::new("java");
    java.current_dir(&folder)
        .args(["-XX:TieredStopAtLevel=1", "-jar"])
        .arg(jar.expect("Maven's jar"));
    java.arg(format!("--server.port={port}")).args(properties);
    java.args(["issuer", "audience"].map(|name| format!("--wxmint.{name}=http://{issuer}")));
    let process = Process::spawn("java", &mut java);
    let late = Instant::now() + START;
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(
            Instant::now() < late,
            "Spring does not listen: {:?}",
            process.stderr()
        );
        sleep(Duration::from_millis(50));
    }
    Started {
        example: Example::new(name, port),
        _process: process,
        folder,
    }
}

fn build(folder: &Path) {
    if let Ok(boot) = env::var("WXMINT_TEST_SPRING_BOOT") {
        let pom = folder.join("example/pom.xml");
        let other = fs::read_to_string(&pom)
            .expect("a copy")
            .replace(BOOT, &format!("<version>{boot}</version>"));
        let other = if boot.starts_with('4') {
            other.replace(CLOUD[0], CLOUD[1])
        } else {
            other
        };
        fs::write(&pom, other).expect("written");
    }
    let mut maven = Command::new("mvn");
    maven
        .args(["-B", "-q", "package", "-Dmaven.test.skip"])
        .env("MAVEN_OPTS", "-XX:TieredStopAtLevel=1");
    let built = maven.current_dir(folder).output();
    let built = built.unwrap_or_else(|error| panic!("mvn: {error}; run: make setup"));
    assert!(
        built.status.success(),
        "{}",
        String::from_utf8_lossy(&built.stdout)
    );
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "nightly, with each Spring Boot"]
async fn a_site_says_that_wxmint_has_not_taken_a_logout_and_forgets_the_cookie() {
    let wxmint = Answering::start();
    let client = ["client-id=shop", "client-secret=x", "secure-cookies=false"]
        .map(|set| format!("--scan.{set}"));
    let Started { example, .. } =
        &start_beside("examples/scan-login/spring", wxmint.address, &[], &client);
    let http = Http::new();
    for (answer, status) in [
        ("204 No Content", 204),
        ("401 Unauthorized", 204),
        ("503 Service Unavailable", 503),
    ] {
        wxmint.at("/logout", Manner::says(answer, "", ""));
        let logout = http
            .0
            .post(format!("http://{}/logout", example.address))
            .header("cookie", "token=a");
        let answered = http.send(logout).await;
        assert_eq!(
            answered.status, status,
            "wxmint answers {answer}: {answered:?}"
        );
        assert!(
            answered.header("set-cookie").starts_with("token=;"),
            "{answered:?}"
        );
    }
}

//! examples/peers/java-spring on clients/java with Spring Boot, whose jars tests/tools/registries.sh fetches before it
//! runs these. By hand:
//!
//!     SPRING_CLASSPATH=JARS cargo test --features kubernetes --test peers java_spring -- --ignored --test-threads=1

use std::{
    env, fs,
    net::{SocketAddr, TcpStream},
    path::Path,
    process::Command,
    thread::sleep,
    time::{Duration, Instant},
};

use crate::{
    example::{Example, Started, copy_folders},
    support::{Process, free_port, repository},
};

/// For a JVM, Tomcat and Spring on a busy machine.
const START: Duration = Duration::from_secs(60);

const WEBFLUX: &str = "--spring.main.web-application-type=reactive";

/// The example, and the library's sources in `library`.
pub(crate) fn copy(settings: &[(&str, &str)], to: &Path) {
    let library = to.join("library");
    fs::create_dir(&library).expect("a new folder");
    copy_folders(&[("examples/peers/java-spring", to), ("clients/java/src/main/java", &library)], settings);
}

/// Starts the example for the issuer at this address, with these settings. Returns when it listens.
pub(crate) fn start(issuer: SocketAddr, settings: &[(&str, &str)]) -> Started {
    start_with(issuer, settings, &[])
}

/// The same on WebFlux, which takes the same Tomcat where Netty's jar is missing.
pub(crate) fn start_webflux(issuer: SocketAddr, settings: &[(&str, &str)]) -> Started {
    start_with(issuer, settings, &[WEBFLUX.to_owned()])
}

/// The same with the files of examples/move/spring and these properties.
pub(crate) fn start_with(issuer: SocketAddr, settings: &[(&str, &str)], properties: &[String]) -> Started {
    let jars = env::var("SPRING_CLASSPATH").expect("SPRING_CLASSPATH, the jars of Spring");
    let (port, folder) = (free_port(), tempfile::tempdir().expect("a folder"));
    copy(settings, folder.path());
    if properties.iter().any(|property| property == WEBFLUX) {
        let chain = folder.path().join("src/main/java/com/example/orders/OrdersApplication.java");
        fs::copy(repository("tests/peers/webflux.java"), chain).expect("a copy");
    }
    let mut javac = Command::new("bash");
    let compile = r#"javac -nowarn -proc:none -parameters -d classes -cp "$0" library/dev/wxmint/spring/*.java {src/main/java,"$1"}/com/example/orders/*.java"#;
    javac.current_dir(&folder).args(["-c", compile, &jars]).arg(repository("examples/move/spring/src/main/java"));
    compiled(&mut javac);
    let mut java = Command::new("java");
    let resources = repository("clients/java/src/main/resources");
    java.current_dir(&folder).args(["-cp", &format!("classes:src/main/resources:{}:{jars}", resources.display())]);
    java.arg("com.example.orders.OrdersApplication");
    java.args(["issuer", "audience"].map(|name| format!("--wxmint.{name}=http://{issuer}"))).args(properties);
    let process = listening(&mut java, port);
    Started { example: Example::new("java-spring", port), _process: process, folder }
}

pub(crate) fn compiled(javac: &mut Command) {
    let output = javac.output().expect("a shell");
    assert!(output.status.success(), "{}\nrun: make setup", String::from_utf8_lossy(&output.stderr));
}

/// Starts an application of Spring at this port. Returns when it listens.
pub(crate) fn listening(java: &mut Command, port: u16) -> Process {
    let process = Process::spawn("java", java.arg(format!("--server.port={port}")));
    let late = Instant::now() + START;
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(Instant::now() < late, "Spring does not listen: {:?}", process.stderr());
        sleep(Duration::from_millis(50));
    }
    process
}

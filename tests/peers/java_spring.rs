//! examples/peers/java-spring with Spring Boot, whose jars only Maven's registry has. tests/tools/registries.sh asks for it, and
//! runs these where it answers. By hand:
//!
//!     SPRING_CLASSPATH=JARS cargo test --features kubernetes --test peers java_spring -- --ignored --test-threads=1
//!
//! JARS is what `mvn dependency:build-classpath` prints in the example's folder.

use std::{
    env,
    net::{SocketAddr, TcpStream},
    process::Command,
    thread::sleep,
    time::{Duration, Instant},
};

use crate::{
    example::{Example, Started, copy_example},
    support::{Process, free_port, repository},
};

/// For a JVM, Tomcat and Spring on a busy machine.
const START: Duration = Duration::from_secs(60);

/// Of the issuer at this address, with settings in place of those that the files have. Returns when it listens.
pub(crate) fn start(issuer: SocketAddr, settings: &[(&str, &str)]) -> Started {
    start_with(issuer, settings, &[])
}

/// The same with the files of examples/move/spring and these properties.
pub(crate) fn start_with(issuer: SocketAddr, settings: &[(&str, &str)], properties: &[String]) -> Started {
    let jars = env::var("SPRING_CLASSPATH").expect("SPRING_CLASSPATH, the jars of Spring");
    let (port, folder) = (free_port(), tempfile::tempdir().expect("a folder"));
    copy_example("java-spring", settings, folder.path());
    let mut javac = Command::new("bash");
    let compile = r#"javac -proc:none -parameters -d classes -cp "$0" {src/main/java,"$1"}/com/example/orders/*.java"#;
    javac.current_dir(&folder).args(["-c", compile, &jars]).arg(repository("examples/move/spring/src/main/java"));
    let compiled = javac.output().expect("a shell");
    assert!(compiled.status.success(), "{}\nrun: make setup", String::from_utf8_lossy(&compiled.stderr));
    let mut java = Command::new("java");
    java.current_dir(&folder).args(["-cp", &format!("classes:src/main/resources:{jars}")]);
    java.args(["com.example.orders.OrdersApplication", &format!("--server.port={port}")]);
    java.args(["issuer", "audience"].map(|name| format!("--wxmint.{name}=http://{issuer}"))).args(properties);
    let process = Process::spawn("java", &mut java);
    let late = Instant::now() + START;
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(Instant::now() < late, "Spring does not listen: {:?}", process.stderr());
        sleep(Duration::from_millis(50));
    }
    Started { example: Example::new("java-spring", port), process, folder }
}

//! clients/java, and the examples in Spring that nothing else runs: compiled, and asked by their own tests in JUnit,
//! with the jars of Spring Boot 3.5 that `setup.sh spring` gets.

use std::{fs, process::Command};

use tempfile::TempDir;

use crate::{
    examples::JARS,
    support::{repository, tools},
};

/// The library with what JDK 11 has, though Spring's jars need 17. Then everything else.
const TESTS: &str = r#"
javac --release 11 -nowarn -proc:none -parameters -d "$0/library" -cp "$1" clients/java/src/main/java/dev/wxmint/spring/*.java
javac -nowarn -proc:none -parameters -d "$0/tests" -cp "$0/library:$1" clients/java/src/test/java/dev/wxmint/spring/*.java \
  examples/{peers/java-spring,move/spring,scan-login/spring}/src/main/java/com/example/orders/*.java examples/move/spring/src/test/java/com/example/orders/*.java
java -XX:TieredStopAtLevel=1 -cp "$0/library:$0/tests:clients/java/src/main/resources:$1" org.junit.platform.console.ConsoleLauncher \
  --disable-banner --disable-ansi-colors -p dev.wxmint.spring -p com.example.orders
"#;

#[test]
fn the_java_library_is_for_jdk_11_and_passes_its_tests_with_spring_boot() {
    let spring = format!("{}/*", tools("spring").display());
    let junit = JARS.split_whitespace().map(|jar| format!("/usr/share/java/{jar}.jar"));
    let (jars, folder) =
        ([spring].into_iter().chain(junit).collect::<Vec<_>>().join(":"), TempDir::new().expect("a folder"));
    let mut bash = Command::new("bash");
    bash.args(["-euc", TESTS]).arg(folder.path()).arg(jars).current_dir(repository("."));
    let output = bash.output().expect("bash");
    let said = String::from_utf8_lossy(&output.stdout);
    let written: usize =
        ["clients/java/src/test/java/dev/wxmint/spring", "examples/move/spring/src/test/java/com/example/orders"]
            .into_iter()
            .flat_map(|folder| fs::read_dir(repository(folder)).expect("tests"))
            .map(|file| fs::read_to_string(file.expect("a file").path()).expect("Java").matches("@Test\n").count())
            .sum();
    let all = written > 10 && said.contains(&format!(" {written} tests successful "));
    assert!(output.status.success() && all, "{written} tests:\n{said}{}", String::from_utf8_lossy(&output.stderr));
}

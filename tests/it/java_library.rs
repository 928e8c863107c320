//! clients/java, and the examples in Spring that nothing else runs: `mvn verify`, which compiles the library for Java
//! 11 and asks their own tests in JUnit.

use crate::support::prelude::*;

const VERIFY: &str = r#"
mkdir "$0/library"
cp -r clients/java/{pom.xml,src} "$0/library"
cp -r examples/peers/java-spring "$0/example"
cp -r examples/{move,scan-login}/spring/src "$0/example"
cp tests/peers/java.xml "$0/pom.xml"
jvm="-XX:TieredStopAtLevel=1 -XX:+UseSerialGC" # most of what a JVM does in these seconds is compiling itself
MAVEN_OPTS=$jvm mvn -B -ntp -Dstyle.color=never -DargLine="$jvm" -f "$0/pom.xml" verify
"#;

#[test]
fn the_java_library_is_for_jdk_11_and_passes_its_tests_with_spring_boot() {
    let folder = TempDir::new().expect("a folder");
    let mut bash = Command::new("bash");
    let output = bash
        .args(["-euc", VERIFY])
        .arg(folder.path())
        .current_dir(repository("."))
        .env("WXMINT_VECTORS", repository("docs/revocation-feed/vectors"))
        .output()
        .expect("bash");
    let said = String::from_utf8_lossy(&output.stdout);
    let tests = [
        "clients/java/src/test/java/dev/wxmint/spring",
        "examples/move/spring/src/test/java/com/example/orders",
    ];
    let all = tests.map(|folder| {
        let files = fs::read_dir(repository(folder))
            .expect("tests")
            .map(|file| file.expect("a file").path());
        let written: usize = files
            .map(|file| {
                fs::read_to_string(file)
                    .expect("Java")
                    .matches("@Test\n")
                    .count()
            })
            .sum();
        written > 0
            && said.contains(&format!(
                "Tests run: {written}, Failures: 0, Errors: 0, Skipped: 0\n"
            ))
    });
    assert!(
        output.status.success() && all == [true; 2],
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let class = fs::read(
        folder
            .path()
            .join("library/target/classes/dev/wxmint/spring/Keys.class"),
    )
    .expect("a class");
    assert_eq!(class[6..8], [0, 55], "the class format of Java 11");
}

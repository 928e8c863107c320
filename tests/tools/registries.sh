#!/usr/bin/env bash
# The examples in Java and PHP with what only a registry has: Spring's jars (Maven's) and firebase/php-jwt (Packagist). Where a
# registry is out of reach, as much as Debian's packages allow. The last lines say for each which of both it was.
set -euo pipefail
cd "$(dirname "$0")/../.."
readonly work=$PWD/target/tools/registries
told=()

rm -rf "$work" && mkdir -p "$work"
cp -r examples/peers/java-spring examples/peers/php "$work"
cp -r examples/move/spring/src "$work/java-spring"
cp -r examples/scan-login/spring/src "$work/java-spring"

peers() { cargo test --locked --features kubernetes --test peers -- --ignored "$@"; }

# Asks for something small first, so that a fault of the example's own is not taken for a registry that is away.
if timeout 120 mvn -B -q org.apache.maven.plugins:maven-dependency-plugin:3.8.1:get -Dartifact=org.junit:junit-bom:5.10.2:pom >/dev/null 2>&1; then
  mvn -B -q -f "$work/java-spring" verify org.apache.maven.plugins:maven-dependency-plugin:3.8.1:build-classpath -Dmdep.outputFile="$work/classpath"
  SPRING_CLASSPATH=$(cat "$work/classpath") peers java_spring:: --test-threads=1
  told+=("Spring: 'mvn verify', and all questions of tests/peers, with the jars of Maven's registry")
else
  jars=
  for jar in junit-jupiter-{api,engine} junit-platform-{commons,console,engine,launcher,reporting} apiguardian-api opentest4j picocli univocity-parsers; do
    jars=/usr/share/java/$jar.jar:$jars
  done
  (cd "$work/java-spring" &&
    javac -nowarn -proc:none -d target/classes -cp "$jars" -sourcepath src/main/java src/test/java/com/example/orders/RevocationsTest.java &&
    java -cp "target/classes:$jars" org.junit.platform.console.ConsoleLauncher --disable-banner --disable-ansi-colors -c com.example.orders.RevocationsTest)
  told+=("Spring: Maven's registry is out of reach. Revocations.java, Keys.java and RevocationsTest.java were run, with Debian's JUnit; what needs Spring was not.")
fi

export COMPOSER_ALLOW_SUPERUSER=1
if timeout 120 composer --no-interaction --quiet --working-dir="$work/php" show --all firebase/php-jwt >/dev/null 2>&1; then
  composer --no-interaction --quiet --working-dir="$work/php" install
  WXMINT_TEST_PHP_JWT=$work/php/vendor/firebase/php-jwt peers php:: --test-threads=2
  told+=("PHP: all questions of tests/peers, with firebase/php-jwt of Packagist")
elif [ -n "${WXMINT_TEST_PHP_JWT:-}" ]; then
  peers php:: --test-threads=2
  told+=("PHP: all questions of tests/peers, with firebase/php-jwt of $WXMINT_TEST_PHP_JWT")
else
  peers php:: --test-threads=2 --skip each_algorithm --skip nonsense_costs
  told+=("PHP: Packagist is out of reach. tests/peers/php_jwt.php stood in for firebase/php-jwt, with ES256 alone.")
fi

printf '%s\n' "${told[@]}"

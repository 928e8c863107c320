#!/usr/bin/env bash
# clients/java and the examples in Java and PHP with what only a registry has: Spring's jars (those of `setup.sh spring`, and Maven's)
# and firebase/php-jwt (Packagist). Where a registry is out of reach, as much as the rest allows. The last lines say what it was.
set -euo pipefail
cd "$(dirname "$0")/../.."
readonly work=$PWD/target/tools/registries plugin=org.apache.maven.plugins:maven-dependency-plugin:3.8.1
told=()

rm -rf "$work" && mkdir -p "$work"
cp -r examples/peers/{java-spring,spring-cloud-gateway,sa-token,php} clients/java "$work"

peers() { cargo test --locked --features kubernetes --test peers -- --ignored "$@"; }

# Asks for something small first, so that a fault of the library's own is not taken for a registry that is away.
if timeout 120 mvn -B -q $plugin:get -Dartifact=org.junit:junit-bom:5.10.2:pom >/dev/null 2>&1; then
  mvn -B -q -f "$work/java" install
  # The tests compile the library beside the example, and WebFlux is optional there.
  sed -i 's|</dependencies>|<dependency><groupId>io.projectreactor</groupId><artifactId>reactor-core</artifactId></dependency></dependencies>|' "$work/java-spring/pom.xml"
  mvn -B -q -f "$work/java-spring" verify $plugin:build-classpath -Dmdep.outputFile="$work/classpath"
  SPRING_CLASSPATH=$(cat "$work/classpath") peers java_spring:: --test-threads=1
  for example in spring-cloud-gateway sa-token; do
    if ! mvn -B -q -f "$work/$example" "$plugin:resolve" >/dev/null 2>&1; then
      told+=("$example: Maven's registry has not all of its jars, so it was not run")
      continue
    fi
    mvn -B -q -f "$work/$example" verify "$plugin:build-classpath" -Dmdep.outputFile="$work/$example.classpath"
    SPRING_CLASSPATH=$(cat "$work/$example.classpath") peers "java_users::${example//-/_}" --test-threads=1
    told+=("$example: 'mvn verify' of the example, and its questions of tests/peers")
  done
  told+=("Spring: 'mvn verify' of clients/java and of the example, and all questions of tests/peers, with the jars of Maven's registry")
else
  told+=("Spring: Maven's registry is out of reach, so no pom.xml was run, and neither Spring Cloud Gateway nor Sa-Token")
fi
SPRING_CLASSPATH=$(printf '%s:' target/tools/spring/*.jar) peers java_spring --test-threads=1
told+=("Spring: all questions of tests/peers, for servlets and WebFlux, with the jars of tests/tools/spring.txt")

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

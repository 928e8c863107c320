# `make` prints the targets. Everything that is installed or built lies under target/, but for Debian's packages.

.DEFAULT_GOAL := help
CARGO ?= cargo
CONTAINER ?= docker
IMAGE ?= wxmint:0.1.0
# Tests mostly wait for other processes.
TEST_THREADS ?= 6
# For each fuzz target.
FUZZ_SECONDS ?= 60
# Of the campaign.
MINUTES ?= 60
IDS ?= random
SETUP := tests/tools/setup.sh
TOOLS := target/tools
# Go is there if the machine's own is missing or too old.
export PATH := $(CURDIR)/$(TOOLS)/golang/go/bin:$(PATH)
REDISES := $(TOOLS)/redis/redis $(TOOLS)/redis/valkey
export STARTED := $(or $(STARTED),$(shell date +%s))
# Spring Boots of `make nightly`; the first reaches the library's tests alone.
BOOTS ?= 2.7.18 3.5.7 4.0.7 4.1.0
# CI's compiler of our crates, which lints them too.
LINTING := $(LINTS:%=RUSTC_WORKSPACE_WRAPPER=$(CURDIR)/%)
TEST := RUST_TEST_THREADS=$(TEST_THREADS) $(LINTING) $(CARGO) test --locked --workspace --features kubernetes
# Their tests start processes and wait for them, and so do the unit tests whose names have CONFORMANCE; all others compute.
WAITING := it peers servers proofs
CONFORMANCE := conformance::
COMPUTING = $(filter-out $(WAITING),$(shell $(CARGO) metadata --no-deps --format-version 1 | \
  jq -r '.packages[].targets[] | select(.kind == ["test"] and .test).name'))
PEERS := $(CARGO) test --locked --features kubernetes --test peers -- --ignored
PHP := $(TOOLS)/php
# Arguments: name, how it is had (Go may have to build it), what is run with it, what else. The log says where it cannot be had.
if_served = if timeout 1200 $(2); then $(3); else echo "NOT RUN: $(1) cannot be had here"; $(or $(4),:); fi
heading = @echo "== $@ (after $$(($$(date +%s) - $(STARTED))) s)"

# One cargo at a time: they would wait for each other's lock anyway.
.NOTPARALLEL:

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: ## the whole login on this machine, with a page that plays the mini program (ARGS="..." for options)
	@$(SETUP) cc
	$(CARGO) run --locked --profile demo -- demo $(ARGS)

.PHONY: test
test: ## all tests but the slow ones of `make nightly`, against a real Redis and Chromium, and each fuzz target over its seeds
	$(heading)
	$(SETUP) test
	@echo "Redis: $$(redis-server --version)"
	$(TEST)

.PHONY: nightly
nightly: ## on a machine that does nothing else: slow tests, each alert by a real fault, times, Redis 8 and Valkey 9, each fault once under load, proofs with more cases, planted faults, fuzzing; Spring and PHP; the cluster; README's commands on a new Debian
	$(heading)
	$(SETUP) test cxx redises promtool alertmanager php envoys mariadb
	$(MAKE) deny k8s-check JUDGE=1
	$(CARGO) clippy --locked --no-default-features -- -D warnings
	$(CARGO) clippy --locked -p wxmint-verify --features fetch -- -D warnings
	$(CARGO) test --locked --test nightly -- --test-threads=1
	$(CARGO) test --locked --features kubernetes --test it --test peers -- --ignored --test-threads=2 --skip java_ --skip php:: --skip vectors::php_ --skip sites:: --skip otel_collector:: --skip higress_plugins_with
	mkdir -p $(PHP) && cp examples/peers/php/composer.json $(PHP)
	for boot in $(BOOTS); do mvn -B -q -ntp -f clients/java clean verify -Dspring-boot.version=$$boot || exit 1; done
	for boot in $(filter-out 2.%,$(BOOTS)); do WXMINT_TEST_SPRING_BOOT=$$boot $(PEERS) java_spring java_accounts java_users::spring --test-threads=1 || exit 1; done
	$(call if_served,Sa-Token by Maven,mvn -B -q org.apache.maven.plugins:maven-dependency-plugin:3.11.0:get -Dtransitive=false -Dartifact=cn.dev33:sa-token-core:1.44.0,$(PEERS) java_users::sa_token --test-threads=1)
	$(call if_served,WxJava by Maven,mvn -B -q org.apache.maven.plugins:maven-dependency-plugin:3.11.0:get -Dartifact=com.github.binarywang:weixin-java-miniapp:4.7.0,$(PEERS) java_wxjava)
	$(call if_served,oauth2-proxy by Go,tests/tools/products.sh oauth2-proxy,$(PEERS) sites::oauth2_proxy)
	$(call if_served,the OpenTelemetry Collector by Go,tests/tools/products.sh collector,$(PEERS) otel_collector::)
	$(call if_served,Keycloak by Maven,tests/tools/products.sh keycloak,$(PEERS) sites::keycloak)
	$(call if_served,php-jwt by Composer,env COMPOSER_ALLOW_SUPERUSER=1 composer -n -q install --no-autoloader -d $(PHP),WXMINT_TEST_PHP_JWT=$(CURDIR)/$(PHP)/vendor/firebase/php-jwt $(PEERS) php:: vectors::php_ --test-threads=2,$(PEERS) php:: vectors::php_ --test-threads=2 --skip each_algorithm --skip nonsense_costs)
	$(if $(HIGRESS_PLUGINS),$(PEERS) higress_plugins_with,@echo "NOT RUN: the plugins of Higress, which no registry here has: examples/peers/higress")
	$(CARGO) test --locked --features kubernetes --test campaign
	for redis in $(REDISES); do \
	  echo "The tests of Redis once more, but those of TLS, on $$($$redis --version)"; export WXMINT_TEST_REDIS=$$redis RUST_TEST_THREADS=$(TEST_THREADS); \
	  $(CARGO) test --locked --features kubernetes --test it -- redis_ whole_life:: --skip redis_tls && \
	  $(CARGO) test --locked -p wxmint-redis-link --test servers -- --skip tls:: || exit 1; done
	PROOF_TIMES=5 $(CARGO) test --locked --test proofs
	TURNS=all $(CARGO) test --locked --test turns
	TURNS_STORE=redis $(CARGO) test --locked --test turns
	tests/tools/walls.sh
	$(TOOLS)/python/bin/python tests/tools/mutants.py
	tests/tools/fuzz.sh $(FUZZ_SECONDS)
	$(if $(filter 0,$(shell id -u)),$(MAKE) cluster,@echo "NOT RUN: make cluster wants root")
	$(if $(filter 0,$(shell id -u)),$(MAKE) bare,@echo "NOT RUN: make bare wants root")

.PHONY: bare
bare: ## as root: README's `make demo` and `make test` on a Debian 12 that debootstrap makes, in target/bare (10 GB); prints how long they took
	$(heading)
	$(SETUP) bare everyday
	tests/tools/bare.sh

.PHONY: cluster
cluster: ## as root: a Kubernetes of one node, alone in namespaces, built once (20 min of a core, 6 GB of disk, and 1.7 GB of cargo; 3.2 GB are kept; then 9 min; 2 GB of memory), and what tests/cluster asks of it
	$(heading)
	$(SETUP) cc go redis nginx python faketime kube cluster
	$(CARGO) build --locked --features kubernetes --profile quick --bin wxmint
	tests/cluster/build.sh plane node around images
	tests/cluster/cluster.py node tests/cluster/test.py

.PHONY: envoy-ratios
envoy-ratios: ## on a machine that does nothing else: what wxmint's module for Envoy costs a request, beside jwt_authn and the sidecar (wants wrk)
	$(heading)
	$(SETUP) cc redis python
	$(CARGO) build --release --locked -p wxmint -p wxmint-envoy
	$(TOOLS)/python/bin/python tests/tools/envoy_ratios.py target/release/wxmint target/release 9 4

.PHONY: mutants
mutants: ## plants the faults of tests/mutants.toml: each must be noticed by its tests
	$(heading)
	$(SETUP) test
	$(TOOLS)/python/bin/python tests/tools/mutants.py

# Its tests need no server, so that each fault is judged in seconds.
ALONE := keys verify ids wechat upstream
SINCE ?= origin/main
.PHONY: mutants-diff
mutants-diff: ## cargo-mutants: small faults in what has changed since SINCE (origin/main) in the crates whose tests need no server
	$(heading)
	$(SETUP) cc cargo-mutants
	git diff $(SINCE) -- $(ALONE:%=crates/%/src) >target/change.diff
	$(if $(shell git diff --name-only $(SINCE) -- $(ALONE:%=crates/%/src)),\
	  $(TOOLS)/cargo/bin/cargo-mutants mutants --in-diff target/change.diff $(ALONE:%=-p wxmint-%) --all-features --baseline=run --timeout 120 -o target,\
	  @echo "nothing has changed there since $(SINCE)")

.PHONY: scale
scale: ## a day of a billion logins: what it costs, from what is measured here in two to three minutes; benches/README.md
	$(heading)
	$(SETUP) cc redis python faketime
	$(CARGO) build --locked
	$(TOOLS)/python/bin/python tests/tools/scale/scale.py

.PHONY: check
check: ahead ## what CI runs: all of lint, docs, test, walls-built, deny, k8s-check, image-check
	$(heading)
	@command -v cc >/dev/null || $(SETUP) cc
	$(TEST) --no-run
	@$(MAKE) --no-print-directory style
	$(SETUP) test
	@nice -n 5 $(MAKE) --no-print-directory beside >target/beside.log 2>&1 & beside=$$!; \
	trap "kill $$beside" INT TERM; $(TEST) --lib $(CONFORMANCE) && $(TEST) $(WAITING:%=--test %); status=$$?; wait $$beside || status=$$?; cat target/beside.log; exit $$status

# In the time that tests leave which wait.
.PHONY: beside
beside:
	$(heading)
	$(TEST) --lib --bins $(or $(COMPUTING:%=--test %),$(error no tests are known that compute: jq or cargo metadata has failed)) -- --skip $(CONFORMANCE)
	$(TEST) --doc
	@nice -n 14 $(MAKE) --no-print-directory deny k8s-check image-check docs >target/others.log 2>&1 & others=$$!; \
	trap "kill $$others" INT TERM; nice -n 14 $(MAKE) --no-print-directory clippy walls-built; status=$$?; \
	wait $$others || status=$$?; cat target/others.log; exit $$status

# Downloads, and builds in the time that nothing else uses, what later targets need. What fails here fails there again, and is seen.
.PHONY: ahead
ahead:
	@mkdir -p target; nice -n 19 $(SETUP) check >target/setup.log 2>&1 </dev/null &

.PHONY: lint
lint: style clippy ## format and clippy, with warnings denied, and the verifier by itself; versions, shell

.PHONY: clippy
clippy:
	$(heading)
	$(if $(LINTS),$(LINTING) $(CARGO) check --locked --workspace --features kubernetes --bench '*' --test nightly --test campaign,\
	  $(CARGO) clippy --locked --workspace --lib --bins --tests --benches --examples --features kubernetes -- -D warnings && \
	  $(CARGO) clippy --locked --workspace --features kubernetes --test nightly --test campaign -- -D warnings)
	$(CARGO) clippy --locked -p wxmint-verify -- -D warnings

.PHONY: style
style:
	$(heading)
	$(CARGO) fmt --all --check
	$(CARGO) fmt --check --manifest-path fuzz/Cargo.toml
	$(CARGO) metadata --locked --format-version 1 --manifest-path fuzz/Cargo.toml >/dev/null
	$(SETUP) python
	$(TOOLS)/python/bin/python tests/tools/mutants.py --check
	tests/tools/version.py
	$(TOOLS)/python/bin/shellcheck .ci/* tests/tools/*.sh tests/cluster/*.sh

.PHONY: docs
docs: ## the crate's documentation, with warnings denied
	$(heading)
	RUSTDOCFLAGS="-D warnings" $(LINTING) $(CARGO) doc --locked --workspace --features kubernetes --no-deps --lib --document-private-items

# To build cargo-deny takes 150 s of a core. It judges what it has not yet passed, and in the night all (JUDGE=1).
.PHONY: deny
deny: ## licences, duplicate crates and sources of the dependencies, by cargo-deny; notes what it has passed
	$(heading)
	@judged=$$(sha256sum Cargo.lock Cargo.toml crates/*/Cargo.toml deny.toml tests/tools/setup.sh); \
	if [ -z "$(JUDGE)" ] && [ "$$judged" = "$$(cat tests/tools/deny.sha256)" ]; then echo "cargo-deny has passed these dependencies"; exit 0; fi; set -e; \
	$(SETUP) cargo-deny; $(CARGO) fetch --locked --quiet; \
	$(TOOLS)/cargo/bin/cargo-deny --locked --offline check -D unmatched-skip -D unnecessary-skip licenses bans sources; \
	echo "$$judged" >tests/tools/deny.sha256

.PHONY: advisories
advisories: ## known defects of the dependencies, and versions that their authors took back; needs GitHub
	$(heading)
	$(SETUP) cargo-deny
	$(TOOLS)/cargo/bin/cargo-deny --locked check advisories

.PHONY: k8s-check
k8s-check: ## the chart: rendered, against schemas, kube-score's rules and a few of our own; alerts and dashboard
	$(heading)
	$(SETUP) go kube promtool python nginx
	tests/tools/k8s_check.sh

.PHONY: rendered
rendered: ## k8s/rendered, what the chart renders, for people without Helm
	$(SETUP) python
	tests/tools/k8s_render.sh

.PHONY: image-check
image-check: ## the Dockerfile, the image (PROGRAM=target/release/wxmint for another than the debug program; at most 25 MB), the crates' files, compose.yaml; without an engine
	$(heading)
	$(SETUP) python oci redis nginx node
	tests/tools/image_check.sh $(PROGRAM)

.PHONY: walls
walls: ## the tree without each door of src/doors.rs, and without the simulator, builds; it passes the unit tests (DOORS="scan" for some)
	$(heading)
	$(SETUP) cc redis
	tests/tools/walls.sh

.PHONY: walls-built
walls-built: ## all doors at once, and the simulator, without running the unit tests
	$(heading)
	$(SETUP) cc
	DOORS=all TESTS=0 tests/tools/walls.sh

.PHONY: bench
bench: ## the benchmarks
	$(SETUP) cc redis python
	$(CARGO) build --locked --release
	$(CARGO) bench --locked

.PHONY: campaign
campaign: ## everything fails under load for MINUTES (60), at RATE (500) requests a second, with IDS (random) as WXMINT_USER_IDS; writes into benches/README.md; then the link to Redis beside clients of redis-rs
	$(SETUP) cc redis
	$(if $(filter random,$(IDS)),CAMPAIGN_PAGE=1) CAMPAIGN_MINUTES=$(MINUTES) CAMPAIGN_IDS=$(IDS) $(if $(SEED),CAMPAIGN_SEED=$(SEED)) $(if $(RATE),CAMPAIGN_RATE=$(RATE)) \
		$(CARGO) test --locked --release --test campaign -- --nocapture no_binding_is_lost
	$(CARGO) test --locked --release -p wxmint-redis-link --bench failover

.PHONY: fuzz
fuzz: ## each fuzz target for FUZZ_SECONDS (60)
	$(SETUP) cxx
	tests/tools/fuzz.sh $(FUZZ_SECONDS)

.PHONY: image
image: ## the container image (CONTAINER=podman for another engine, IMAGE=name:tag; mirrors: README.md#mirrors)
	$(CONTAINER) build --build-arg REGISTRY --build-arg CRATES --tag $(IMAGE) .

.PHONY: release
release: ## dist/, from what is committed, on x86_64: the static programs for x86_64 and aarch64, the image, the chart, the packages for npm, Maven and crates.io
	$(heading)
	$(SETUP) cc java python node cross
	$(TOOLS)/python/bin/python tests/tools/release.py

.PHONY: release-check
release-check: release ## builds the packed crates, logs in with what dist/ has, and makes the release again in another folder: the same bytes
	$(SETUP) oci redis nginx
	$(CARGO) package --locked --workspace
	$(TOOLS)/python/bin/python tests/tools/first_login.py binary aarch64 image compose chart
	$(TOOLS)/python/bin/python tests/tools/release.py again

.PHONY: first-login
first-login: ## from nothing to a login, in seconds: dist/ by program, image, compose and chart, and the source
	$(SETUP) cc oci redis nginx node python
	$(TOOLS)/python/bin/python tests/tools/first_login.py binary image compose chart source

.PHONY: setup
setup: ## installs everything that tests and checks need
	$(SETUP) check

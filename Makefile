# The one door to building, running and testing. `make` or `make help` lists everything.

.DEFAULT_GOAL := help
.NOTPARALLEL:

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: run
run: setup-build setup-svt ## build the release and serve from ./data; what is missing is installed
	CALOTYPE_SVT_AV1=$${CALOTYPE_SVT_AV1-$(wildcard .tools/svt/libSvtAv1Enc.so.4)} \
		cargo run --release --locked -- serve

.PHONY: test
test: setup-build setup-svt setup-tests ## every test; what they need is installed into .tools
	CALOTYPE_REQUIRE_CLIENTS=1 CALOTYPE_REQUIRE_SERVERS=1 scripts/test.sh

.PHONY: test-quick
test-quick: ## the tests which need nothing but Rust and a C compiler
	CALOTYPE_KILL_ROUNDS=2 scripts/test.sh -- --skip sdk_does_everything --skip documented_go_program --skip on_postgres --skip on_s3
	@echo "left out: the official SDKs, PostgreSQL, S3 (make test has them)"

.PHONY: golden-accept
golden-accept: ## renew the golden pictures which differ; look at them before you commit
	ACCEPT=1 cargo test -p pixels --test rendering golden

.PHONY: bench
bench: setup-build ## measure the catalog at a million images, deliveries and pixels, beside their peers
	scripts/bench.sh
	scripts/bench-scale.sh
	scripts/bench-sharp.sh
	scripts/setup-peers.sh
	scripts/bench-delivery.sh

.PHONY: soak
soak: setup-build ## serve good and hostile clients for half an hour, and watch memory and descriptors
	scripts/soak.sh

.PHONY: durability
durability: setup-build setup-svt setup-tests ## kill servers, moves, backups and restores 200 times each, delete a tenth of a million images, and look for what is lost
	CALOTYPE_REQUIRE_CLIENTS=1 CALOTYPE_REQUIRE_SERVERS=1 CALOTYPE_KILL_ROUNDS=200 \
		scripts/test.sh --test durability --test keeping kill -- --nocapture
	CALOTYPE_REQUIRE_CLIENTS=1 CALOTYPE_REQUIRE_SERVERS=1 CALOTYPE_MANY_IMAGES=1000 \
		scripts/test.sh --test catalog very_many -- --nocapture

FUZZ_SECONDS ?= 300
FUZZ_TARGETS ?=
.PHONY: fuzz
fuzz: setup-build setup-fuzz ## fuzz each target for FUZZ_SECONDS (300), or those of FUZZ_TARGETS; needs nightly
	scripts/fuzz.sh $(FUZZ_SECONDS) $(FUZZ_TARGETS)

.PHONY: check
check: setup-build setup-check ## format, lints, documentation, dependencies
	scripts/check.sh

.PHONY: check-deploy
check-deploy: ## check what is in deploy/; its tools are installed
	@scripts/check-deploy.sh --install

.PHONY: fmt
fmt: ## format the code
	cargo fmt --all

.PHONY: dist
dist: setup-build ## pack the release into target/dist
	scripts/dist.sh

.PHONY: setup-build
setup-build: ## install the compilers which a build needs
	@scripts/setup-build.sh

.PHONY: setup-svt
setup-svt: ## install the AVIF encoder SVT-AV1 into .tools, where it can be had
	@scripts/setup-svt.sh

.PHONY: setup-check
setup-check: ## install the linters into .tools
	@scripts/setup-check.sh

.PHONY: setup-fuzz
setup-fuzz: ## install the driver of the fuzzer into .tools
	@scripts/setup-fuzz.sh

.PHONY: setup-tests
setup-tests: ## install the client libraries into .tools
	@scripts/setup-tests.sh

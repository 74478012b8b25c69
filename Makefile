# The one task runner. `make ci` is the whole gate; tool versions stand in tools/versions.env.
# Recipes are bash scripts that end at the first failure, in a pipe too.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.NOTPARALLEL:
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules --no-print-directory

export PATH := $(CURDIR)/.tools/bin:$(PATH)

# Every cargo call names the whole workspace: a part of it would resolve other features and build
# the same dependencies once more.
ALL := --workspace --locked
NEXTEST := cargo nextest run --color never $(ALL)
# What each level said and how many cases passed in it, for `summary`.
LEVELS := target/levels
# The e2e cases share one API server and so run in one process, which nextest would not do. Nor can it
# then end a case that hangs: the whole level has a limit.
E2E := timeout --kill-after=30s 30m cargo test --color never $(ALL) --test e2e
# Name parts of the cases that run once more against a store in a container.
CONTAINER_CASES := kv_ auth role audience

LINTS := fmt-check deny typos clippy doc
TESTS := unit it e2e
CI := $(LINTS) build demo $(TESTS) e2e-container image cluster-test

# $(call level,NAME,COMMANDS): runs the commands, shows and keeps what they say, and counts the cases
# by the closing lines of nextest and of doc tests. A level without a case fails.
define level
@mkdir -p $(LEVELS)
rm -f $(LEVELS)/$(1)
{ $(2); } 2>&1 | tee $(LEVELS)/$(1).log
passed=$$(sed -n -e 's/^ *Summary .* tests\{0,1\} run: \([0-9]*\) passed.*/\1/p' \
  -e 's/^test result: ok\. \([0-9]*\) passed.*/\1/p' -e 's/^\([0-9]*\) passed, 0 failed$$/\1/p' $(LEVELS)/$(1).log | awk '{ n += $$1 } END { print n + 0 }')
if [ "$$passed" = 0 ]; then echo "make: level $(1) ran no case" >&2; exit 1; fi
echo "$$passed" >$(LEVELS)/$(1)
endef

##@ Everyday

.PHONY: help
help: ## Lists the targets
	@awk -F ':.*## ' '/^##@ / { print "\n" substr($$0, 5) } /^[a-z0-9-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

.PHONY: build
build: ## Builds everything, tests included, in the dev profile
	cargo build $(ALL) --all-targets

# The programs that tests start. With a test target the features are those of the tests, so that
# nothing is built twice, and a broken test of another level does not stop this one.
.PHONY: programs
programs:
	cargo build $(ALL) --bins --test tidy

.PHONY: tools
tools: ## Installs into .tools/ what lint and tests need
	@tools/install.sh cargo-deny typos cargo-nextest bao cluster helm wire

.PHONY: demo
demo: tool-bao programs ## Shows Mounts from a real store, without a cluster
	target/debug/demo

.PHONY: generate
generate: ## Writes proto/src/gen from the contract
	cargo run --locked -p coffer-proto --example generate

.PHONY: reference
reference: ## Writes the pages of docs/reference that are made from the code
	cargo run --locked -p coffer-tests --bin reference

# ARGS='--only republish' runs one scene, ARGS=--list names them.
.PHONY: bench
bench: tool-bao tool-cluster ## Measures the binaries that ship and writes docs/benchmarks.md
	cargo build $(ALL) --bins --release
	target/release/bench $(ARGS)

##@ Ship

# IMAGE names it, ENGINE is docker, podman or buildah.
.PHONY: image
image: tool-engine ## Builds the image into target/image, with the list of what it is made of
	tools/image.sh

.PHONY: manifests
manifests: tool-helm ## Writes what the chart renders: charts/coffer.yaml and charts/examples
	tools/manifests.sh

.PHONY: chart
chart: tool-helm ## Packages the chart into target/chart
	@mkdir -p target/chart
	helm package charts/coffer --destination target/chart

.PHONY: clean
clean: ## Removes what was built; .tools/ stays
	cargo clean
	rm -rf demo-out

##@ Lint

.PHONY: lint
lint: $(LINTS) ## All of these

.PHONY: fmt
fmt: ## Formats the Rust code
	cargo fmt --all

.PHONY: fmt-check
fmt-check: ## Is the Rust code formatted?
	cargo fmt --all --check

.PHONY: deny
deny: tool-cargo-deny ## Licences, sources, banned and doubled crates
	cargo deny --locked check bans licenses sources

.PHONY: typos
typos: tool-typos ## Spelling
	typos

.PHONY: clippy
clippy: ## Clippy, warnings denied
	cargo clippy $(ALL) --all-targets -- -D warnings

.PHONY: doc
doc: ## rustdoc, warnings denied
	RUSTDOCFLAGS='-D warnings' cargo doc $(ALL) --no-deps

##@ Test

.PHONY: test
test: reset $(TESTS) summary ## unit, it and e2e, and what they ran against

.PHONY: unit
unit: tool-cargo-nextest tool-bao tool-cluster tool-wire programs ## Beside the code, the harness, the house rules, doc tests
	$(call level,unit,$(NEXTEST) --lib --bins --test generated --test tidy; cargo test --color never $(ALL) --doc)

.PHONY: it
it: tool-cargo-nextest programs ## The real server and a scripted store, in process
	$(call level,it,$(NEXTEST) --test it)

.PHONY: e2e
e2e: tool-bao tool-cluster tool-helm tool-wire tool-postgres programs ## The real provider, store, API server and database
	$(call level,e2e,$(E2E))

.PHONY: e2e-container
e2e-container: tool-bao tool-cluster tool-wire tool-container programs ## Key-value and auth cases of e2e, the store in a container
	$(call level,container,TEST_VAULT=container $(E2E) -- $(CONTAINER_CASES) --skip sync)

# As root, in namespaces of its own. Takes the image as it is in target/image.
.PHONY: cluster-test
cluster-test: tool-bao tool-cluster tool-helm tool-node target/image/coffer.tar programs ## The chart on a node with real pods
	$(call level,node,target/debug/node)

target/image/coffer.tar:
	@$(MAKE) image

.PHONY: reset
reset:
	@rm -rf $(LEVELS)

# The store of `it` and `e2e`, and that of the container level where it is another one; a shared server tells
# its own version. PostgreSQL is the one that the tests take: Debian's newest, else that of the PATH.
define versions
store=$$(command -v bao || command -v vault || true)
if [ -n "$${TEST_VAULT_ADDR:-}" ]; then
  version=$$(python3 -c 'import json, sys, urllib.request as u
print(json.load(u.urlopen(sys.argv[1] + "/v1/sys/health", timeout=10))["version"])' "$$TEST_VAULT_ADDR")
  echo "store      $$version at $$TEST_VAULT_ADDR"
else
  if [ "$${TEST_VAULT:-}" != container ]; then echo "store      $$("$$store" version | head -n 1)"; fi
  if [ -n "$${TEST_VAULT_IMAGE:-}" ] && { [ "$${TEST_VAULT:-}" = container ] || [ -s $(LEVELS)/container ]; }; then
    engine=$$(command -v podman || command -v docker)
    runtime=$$(if [ "$${engine##*/}" = podman ] && command -v runc >/dev/null; then echo "--runtime runc"; fi)
    version=$$("$$engine" $$runtime run --rm --network=host --env SKIP_SETCAP=1 "$$TEST_VAULT_IMAGE" version | head -n 1)
    echo "container  $$version of $$TEST_VAULT_IMAGE"
  elif [ "$${TEST_VAULT:-}" = container ] || [ -s $(LEVELS)/container ]; then
    echo "container  $$("$$store" version | head -n 1)"
  fi
fi
cluster=$${KUBEBUILDER_ASSETS:-$(CURDIR)/.tools/bin}
echo "apiserver  $$("$$cluster/kube-apiserver" --version)"
controllers=$$cluster/kube-controller-manager
if [ ! -x "$$controllers" ]; then controllers=$(CURDIR)/.tools/bin/kube-controller-manager; fi
echo "controller $$("$$controllers" --version)"
echo "etcd       $$("$$cluster/etcd" --version | head -n 1)"
postgres=$$(compgen -G '/usr/lib/postgresql/*/bin/postgres' | sort | tail -n 1 || true)
echo "database   $$("$${postgres:-postgres}" --version)"
endef

# Fails when a level has not run. The last line is the closing line of the last level.
.PHONY: summary
summary:
	@total=0
	for level in $(TESTS); do
	  if [ ! -s $(LEVELS)/$$level ]; then echo "make: level $$level has not run" >&2; exit 1; fi
	done
	echo
	echo "level      passed"
	for level in $(TESTS) container node; do
	  if [ ! -s $(LEVELS)/$$level ]; then continue; fi
	  passed=$$(cat $(LEVELS)/$$level)
	  last=$(LEVELS)/$$level.log
	  total=$$((total + passed))
	  printf '%-9s  %6d\n' $$level $$passed
	done
	printf '%-9s  %6d\n' all $$total
	$(versions)
	echo
	grep -E '^( *Summary |test result: ok\.|[0-9]+ passed, 0 failed$$)' "$$last" | tail -n 1

##@ Gate

# Times are told before the summary, so that the last line stays the closing line of the tests.
.PHONY: ci
ci: reset ## The gate: lint, test, e2e-container, the image and cluster-test
	@times=
	for step in $(CI); do
	  echo "== $$step"
	  began=$$SECONDS
	  $(MAKE) $$step || { echo "== $$step failed after $$((SECONDS - began)) s" >&2; exit 1; }
	  times+=$$(printf '%-14s %5d s' $$step $$((SECONDS - began)))$$'\n'
	done
	printf '\n%s%-14s %5d s\n' "$$times" 'all' $$SECONDS
	$(MAKE) summary

# Tools by the names of tools/install.sh, which does nothing when the pinned version is there.
TOOLS := tool-bao tool-cargo-deny tool-cargo-nextest tool-cluster tool-helm tool-node tool-typos tool-wire
.PHONY: $(TOOLS)
$(TOOLS): tool-%:
	@tools/install.sh $*

# A database or container engine that is there already is as good as Debian's.
.PHONY: tool-postgres
tool-postgres:
	@command -v postgres >/dev/null || compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null || tools/install.sh debian

.PHONY: tool-engine
tool-engine:
	@command -v podman >/dev/null || command -v buildah >/dev/null || docker info >/dev/null 2>&1 || tools/install.sh debian

.PHONY: tool-container
tool-container:
	@command -v podman >/dev/null || command -v docker >/dev/null || tools/install.sh debian

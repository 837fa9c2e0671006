# Varve. "make" or "make help" lists the targets: the text after ## is the help.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

GO ?= go
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
LOCAL := localstack/local.sh
PKG ?= ./...
RUN ?= .

# Packages that meet the real servers in their conformance suites; everything else is unit tests.
CONFORMANCE = ./objstore/... ./metastore/... ./localstack/...

# Those of them that have tests with the build tag e2e.
E2E_STORES = ./objstore/s3 ./objstore/minio ./objstore/s3test ./metastore/dynamo

# The simulations take minutes under the race detector: the gate leaves them out there; make race PKG=./agent/simtest.

, := ,

SIM = VARVE_SIM_SEED=$(or $(SEED),1) VARVE_SIM_N=$(or $(N),$(if $(SEED),1,500)) $(GO) test -count=1 -timeout 0

# stage: $(call stage,NAME,COMMAND) runs a command and says how long it took, also when it failed.
stage = @t=$$(date +%s); echo "--- $(1)"; rc=0; { $(2); } || rc=$$?; echo "--- $(1): $$(($$(date +%s) - t)) s"; exit $$rc

.PHONY: help build clean demo test install tidy unit conformance lint race model sim campaign fuzz fuzz-changed mutants stress up down e2e compat oracle churn bench latency

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## make bin/varve
	$(GO) build -trimpath -o bin/varve ./cli/varve

clean: ## remove what was built; servers' parts in .local/ and data in .varve/ stay
	rm -rf bin cli/varve/e2e/target cli/varve/e2e/java/target

demo: build ## varve dev with sample traffic, left running
	@bash cli/varve/demo.sh

test: ## all tests: tidy, unit, race, conformance, e2e; installs and starts what it needs
	@$(MAKE) --no-print-directory install
	@$(MAKE) --no-print-directory tidy
	@$(MAKE) --no-print-directory unit
	@$(MAKE) --no-print-directory race PKG="$$($(GO) list ./agent/... | grep -v /simtest | tr '\n' ' ')"
	@$(MAKE) --no-print-directory fuzz-changed
	@$(MAKE) --no-print-directory conformance
	@$(MAKE) --no-print-directory e2e

install: ## MinIO, versitygw, DynamoDB Local and LocalStack into .local/
	$(call stage,install,$(LOCAL) install)

tidy: ## the house rules
	$(call stage,tidy,$(GO) test -count=1 -parallel 4 ./cli/varve)

unit: ## tests that need no server, besides those of tidy
	$(call stage,unit,$(GO) test $$($(GO) list ./agent/... ./client/... ./cli/... | grep -v /cli/varve$$))
	$(call stage,groups,$(GO) test -tags synctests -run '^TestGroup' ./agent/simtest)

conformance: ## the stores' suites, on real servers too
	$(call stage,conformance,$(GO) test -tags e2e -timeout 20m $(CONFORMANCE))

e2e: ## real clients, real servers; RUN=REGEXP some, FULL=1 every client, every test on every pair of stores, 100 kills instead of 15
	@for c in kcat mvn; do command -v $$c >/dev/null || echo "LEFT OUT: the tests of a client, because $$c is not installed"; done
	$(if $(FULL),cli/varve/e2e/clients.sh)
	$(call stage,e2e,$(if $(FULL),VARVE_FULL=1 VARVE_KILL_ROUNDS=100 )$(GO) test -tags e2e -count=1 -parallel 3 -timeout $(if $(FULL),120m,30m) -run '$(RUN)' ./cli/varve/e2e)

compat: ## write the README's compatibility tables from a run of the whole matrix; WHAT=groups that of groups alone
	cli/varve/e2e/clients.sh
	$(call stage,compat,VARVE_FULL=1 VARVE_COMPAT=write $(GO) test -tags e2e -count=1 -timeout 90m -run '^($(if $(filter groups,$(WHAT)),,TestMatrix|)TestGroupMatrix)$$' ./cli/varve/e2e)

oracle: ## the same requests of groups to a real Kafka 4.1 and to varve dev, answers compared field by field; needs a JDK and Maven
	$(call stage,oracle,$(GO) test -tags e2e$(,)oracle -count=1 -timeout 10m -v -run '^TestOracle$$' ./cli/varve/e2e)

churn: ## three agents whose log is rewritten in seconds, killed and stopped, topics that come and go, for SECONDS (600): what is left in the bucket?
	$(call stage,churn,VARVE_CHURN_SECONDS=$(or $(SECONDS),600) $(GO) test -tags e2e$(,)churn -count=1 -timeout 0 -v -run '^TestChurn$$' ./cli/varve/e2e)

lint: ## vet, staticcheck, tidy
	$(GO) vet ./...
	$(GO) vet -tags synctests ./agent/simtest
	$(GO) vet -tags e2e,oracle,churn ./cli/varve/e2e $(E2E_STORES)
	cd cli/varve/e2e/goclients && $(GO) vet .
	$(GO) run $(STATICCHECK) ./...
	$(GO) run $(STATICCHECK) -tags synctests ./agent/simtest
	$(GO) run $(STATICCHECK) -tags e2e,oracle,churn ./cli/varve/e2e $(E2E_STORES)
	bin=$$(mktemp -d) && GOBIN=$$bin $(GO) install $(STATICCHECK) && cd cli/varve/e2e/goclients && $$bin/staticcheck . && rm -r $$bin
	$(GO) test -count=1 ./cli/varve

race: ## unit and conformance tests with the race detector; PKG=./agent/wal one package
	$(call stage,race,$(GO) test -race $(PKG))

model: ## fail-over and the log's second life as explicit-state models: every configuration whole, then random walks (an hour)
	$(GO) run ./agent/simtest/model -all

sim: ## the cores of clusters under random faults: N seeds from SEED on (default 2000 from 1); SEED=n alone replays one, TRACE=1 shows it; WHAT=cluster whole agents, WHAT=segments with packs and segments, WHAT=groups with consumer groups, after STEPS (3000000) events at each of their cores
ifeq ($(WHAT),groups)
	$(if $(SEED),,VARVE_GROUP_STEPS=$(or $(STEPS),3000000) $(GO) test -count=1 -v -timeout 0 -run '^(TestClassicRandomEvents|TestConsumerRandom)$$' ./agent/group)
	$(SIM) -tags synctests -run '^TestGroupSim$$' ./agent/simtest
else ifneq ($(filter cluster segments,$(WHAT)),)
	$(SIM) -run '^$(if $(filter segments,$(WHAT)),TestClusterSegments,TestClusterSim)$$' ./agent/simtest
else
	VARVE_CORE_SEED=$(or $(SEED),1) VARVE_CORE_N=$(or $(N),$(if $(SEED),1,2000)) VARVE_CORE_TRACE=$(TRACE) $(GO) test -count=1 -v -timeout 0 -run '^TestCoreSim$$' ./agent/simtest
endif

campaign: ## seeds that no campaign ran before, noted in agent/simtest/campaign.txt; MORE="core=200000 cluster=0 process=30" says how many
	VARVE_CAMPAIGN="$(MORE)" $(GO) test -tags campaign -count=1 -v -timeout 0 -run '^TestCampaign$$' ./agent/simtest

fuzz: ## each fuzz target for FUZZTIME (10s)
	@grep -rl --include='*_test.go' '^func Fuzz' agent objstore metastore client cli | while read -r f; do \
		for target in $$(grep -oE '^func Fuzz[A-Za-z0-9_]+' $$f | cut -c6-); do \
			echo "--- $$(dirname $$f) $$target"; \
			$(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $${FUZZTIME:-10s} ./$$(dirname $$f); \
		done; \
	done

fuzz-changed: ## each fuzz target that changed since BASE (HEAD~1) for FUZZTIME (20) seconds
	$(call stage,fuzz-changed,.ci/fuzz-changed)

mutants: ## faults put into the code on purpose, each of which a named test or the simulation must find; writes agent/simtest/MUTANTS.md; ONLY=REGEXP those whose name or file it matches
	$(call stage,mutants,VARVE_MUTANTS='$(ONLY)' $(GO) test -tags mutants -count=1 -timeout 90m -run Mutants ./agent/kafka ./agent/simtest)

stress: ## one package's tests many times: make stress PKG=./agent/wal N=100 RUN=TestName
	$(GO) test -race -count=$${N:-50} -failfast -run '$(RUN)' $(PKG)

up: ## start MinIO and DynamoDB Local with bucket and table; WITH="versitygw localstack" instead
	@$(LOCAL) up $(addprefix --with ,$(WITH))

down: ## stop them
	@$(LOCAL) down

latency: ## what records wait for on S3 Standard, and where, and what a GB costs: the log alone, in virtual time, SPAN (10m) of it for each row
	$(call stage,latency,VARVE_LATENCY=$(or $(SPAN),10m) $(GO) test -count=1 -v -timeout 0 -run '^TestLatency$$|^TestHedgesOfTheLog$$' ./agent/simtest)

bench: ## what the agent costs: varve bench, RUNS times (3), in turns with the agent of BASE=COMMIT (a pinned one), ONLY=NAME; PKG=./agent/wal one package's micro benchmarks
ifeq ($(PKG),./...)
	@$(MAKE) --no-print-directory build
	@bash cli/varve/bench.sh
	$(if $(ONLY),,$(GO) test -tags e2e -run '^$$' -bench . -benchtime 1x -timeout 60m ./cli/varve/e2e)
else
	$(GO) test -run '^$$' -bench . -benchmem $(PKG)
endif

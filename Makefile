# Run `make help` for the list of targets.
GO ?= go
GOLANGCI := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
SCRIPTS := internal/testenv/setup.sh .ci/run

.PHONY: help
help: ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: dev
dev: ## run everything in one process, with data under ./.outlink
	$(GO) run ./cmd/outlink dev

.PHONY: build
build: ## build the static binary into bin/
	CGO_ENABLED=0 $(GO) build -trimpath -o bin/outlink ./cmd/outlink

.PHONY: setup
setup: ## install what the tests need: PostgreSQL, Chromium, the npm peer (root on Debian) and the nats command line
	@bash internal/testenv/setup.sh

.PHONY: test
test: setup ## install what is missing, vet, and run every test with the race detector
	CGO_ENABLED=0 $(GO) build ./...
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { echo "gofmt would change:"; gofmt -l $$(git ls-files '*.go'); exit 1; }
	$(GO) vet ./...
	$(GO) test -race -timeout 15m ./...
	@$(MAKE) --no-print-directory check-deploy

# -count=1: the cache of test results does not see files outside the module.
.PHONY: check-deploy
check-deploy: ## test the Dockerfile, docker-compose.yml and nats.conf
	$(GO) -C deploy/check vet ./...
	$(GO) -C deploy/check test -count=1 ./...

.PHONY: test-cockroach
test-cockroach: ## run the stores' suite on CockroachDB: COCKROACH_BINARY names one, or OUTLINK_TEST_DATABASE_URL a server
	@test -n "$$COCKROACH_BINARY$$OUTLINK_TEST_DATABASE_URL" || { echo "set COCKROACH_BINARY or OUTLINK_TEST_DATABASE_URL"; exit 1; }
	$(GO) test -count=1 -v ./projections/cockroach

.PHONY: contracts
contracts: ## write schemas, examples, API documents and docs/reference anew from the Go types
	$(GO) test ./domain -run TestEvents -update
	$(GO) test ./internal/contract -skip TestSpectral -update

.PHONY: pages
pages: ## write the Go code of the pages anew from their templates
	$(GO) run github.com/a-h/templ/cmd/templ@$$($(GO) list -m -f '{{.Version}}' github.com/a-h/templ) generate -path internal/web

.PHONY: bench
bench: ## take the figures of bench/README.md anew
	$(GO) test ./bench -run xxx -bench 'Replay|Live|Rebuild|Memory' -benchtime 1x -count 5 -timeout 2h
	$(GO) test ./bench -run xxx -bench . -skip 'Replay|Live|Rebuild|Memory' -benchtime 1000x -count 5 -timeout 2h

.PHONY: torture
torture: ## kill three workers at random for 10 minutes at each kind of provider, a projector 100 times on each database and the handler of commands at each step, and play 120,000 random sequences; about an hour
	$(GO) test ./cmd/outlink -run TestSubmittedCommandsSurvive -kills 200 -timeout 30m -v
	$(GO) test ./workers/refresh -run TestNoReadableTokenIsGivenUp -rapid.checks=20000 -timeout 60m
	$(GO) test ./cmd/outlink -run 'TestTorture|TestProjectorKills' -torture 10m -timeout 90m -v

.PHONY: lint
lint: check-deploy ## golangci-lint and shellcheck over everything, and check-deploy
	$(GO) run $(GOLANGCI) run
	cd deploy/check && $(GO) run $(GOLANGCI) run
	@if command -v shellcheck >/dev/null; then shellcheck $(SCRIPTS); else echo "not installed, so the scripts are not checked: shellcheck"; fi

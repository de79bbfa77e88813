#!/usr/bin/env bash
# Installs what the tests need beside Go. As root on Debian it installs the
# packages, and says which; elsewhere it says what the tests will not run. In CI
# what is missing fails the tests themselves. Who names a database server in
# OUTLINK_TEST_DATABASE_URL needs no PostgreSQL.
set -euo pipefail
cd "$(dirname "$0")"

missing=()
command -v chromium >/dev/null || missing+=(chromium)
[[ -n ${OUTLINK_TEST_DATABASE_URL:-} ]] || command -v initdb >/dev/null || compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || missing+=(postgresql)
command -v node >/dev/null || missing+=(nodejs)
command -v npm >/dev/null || missing+=(npm)

if ((${#missing[@]})); then
  if [[ $(id -u) == 0 ]] && command -v apt-get >/dev/null; then
    echo "installing: ${missing[*]}"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
  else
    echo "not installed, so their tests are skipped: ${missing[*]}"
  fi
fi

# npm notes in node_modules what it installed: older than the lock file, it is stale.
if [[ ! -f peer/node_modules/.package-lock.json || peer/package-lock.json -nt peer/node_modules/.package-lock.json ]]; then
  if command -v npm >/dev/null; then
    (cd peer && npm ci --silent --no-audit --no-fund)
  else
    echo "npm is not installed, so the tests with oidc-provider, Node and spectral are skipped"
  fi
fi

# The nats command line, of a fixed version, outside of go.mod: it brings a hundred
# modules along.
nats_cli=v0.5.0
if ! go version -m ../../bin/nats 2>/dev/null | grep -qE "nats-io/natscli[[:space:]]+$nats_cli[[:space:]]"; then
  echo "installing: nats $nats_cli"
  GOBIN=$(cd ../.. && pwd)/bin CGO_ENABLED=0 go install "github.com/nats-io/natscli/nats@$nats_cli" 2>/dev/null ||
    echo "nats could not be installed, so the test that runs what docs/clients.md shows of it is skipped"
fi

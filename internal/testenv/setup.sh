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

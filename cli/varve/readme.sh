#!/usr/bin/env bash
# Runs the commands of the README as they are written there, in a fresh clone, in one shell from top to bottom. Where it
# may (Linux, root) in a network of its own, so that a port in use here does not matter. Left out is "make
# test", which the gate runs; "make down" comes last, when the agent has stopped.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
root=$PWD

say() { printf -- '--- %s\n' "$*"; }

# commands: the lines in code blocks of README.md, without comments.
commands() { awk '/^```/ {code = !code; next} code' README.md | sed -E 's/ +# .*//; /^ *$/d'; }

# serves: waits until the agent has printed where it listens, at most two minutes.
serves() {
  local i
  for ((i = 0; i < 1200; i++)); do
    grep -q '^kafka ' agent.out && return
    sleep 0.1
  done
  say "the agent does not serve"
  return 1
}

in_clone() {
  local line agents=() n=0
  while IFS= read -r line <&4; do
    say "$line"
    case $line in
      'make test' | 'make down') continue ;;
      'make demo')
        make demo
        kill "$(cat .varve/demo.pid)"
        ;;
      'bin/varve agent '*)
        eval "exec $line" >agent.out & # one process, which can be stopped
        agents+=($!)
        serves
        ;;
      *) eval "$line" ;;
    esac
    n=$((n + 1))
  done 4< <(commands)
  [[ $(bin/varve consume orders --from earliest --exit-at-end) == hello ]] || { say "the records are not there"; return 1; }
  kill "${agents[@]}"
  wait "${agents[@]}"
  make down
  say "$n commands of README.md ran"
}

if [[ ${1-} == --in-clone ]]; then
  if [[ ${2-} == --network ]]; then ip link set lo up; fi
  trap 'make -s down >/dev/null 2>&1 || true; kill $(jobs -p) 2>/dev/null || true' EXIT
  in_clone
  exit
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
git clone -q "$root" "$work/varve"
eval "$(go env | grep -E '^(GOPATH|GOCACHE|GOMODCACHE)=')"
export GOPATH GOCACHE GOMODCACHE HOME=$work # profiles are written there
cd "$work/varve"
mkdir .local
for part in bin dynamodb localstack; do # what is installed already need not be once more
  if [[ -e $root/.local/$part ]]; then ln -s "$root/.local/$part" .local/; fi
done
make -s install
network=()
if unshare -n true 2>/dev/null && command -v ip >/dev/null; then network=(unshare -n); fi
"${network[@]}" bash cli/varve/readme.sh --in-clone ${network:+--network}

#!/usr/bin/env bash
# make bench: what the agent of bin/varve costs, RUNS (3) times each. BASE=COMMIT, by default the pinned one, is built too and runs in
# turns with the client of bin/varve; then both are compared: on a machine that does other things only such ratios mean anything, and only
# what does not hang on the clock is judged, unless JUDGE= says otherwise: no requests where the load is as fast as it is answered. It fails if a median is worse by more than TOLERANCE (10%)
# and every pair of runs agrees. BASE= compares with nothing. What is pinned moves when a release is slower on purpose, or faster. ONLY=NAME runs one of the loads. Reports stay in .varve/bench/,
# a line for each run.
set -euo pipefail -f
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
out=.varve/bench
mkdir -p "$out"

# loads: a name, and how "varve bench" is called. 42 MB/s is where objects of 4 MiB fill in 100 ms.
loads() {
  cat <<'LOADS'
produce-null produce --store null --flush 10ms --rate max --warmup 5s --duration 12s
produce-mem  produce --store mem --flush 10ms --rate max --warmup 0s --duration 30s --limit 3GiB
produce-sim  produce --store sim+null://?model=s3-standard&seed=1 --meta sim+mem://?model=dynamodb&seed=1 --flush 100ms --flush-bytes 4MiB --rate 41000 --warmup 5s --duration 20s
consume-mem  consume --store mem --flush 10ms --backlog 48MiB --fan-out 4 --warmup 3s --duration 8s
e2e-disk     e2e --store disk --flush 10ms --rate 20000 --warmup 5s --duration 15s
idle         idle-cost --store sim --warmup 2s --duration 20s
LOADS
}

pinned=6c1b814c55a76575d96acf40361108e053bee565
base=
BASE=${BASE-$pinned}
if [[ -n $BASE ]]; then
  git rev-parse -q --verify "$BASE^{commit}" >/dev/null || { echo "bench: commit $BASE is not here (a shallow clone? git fetch --unshallow), or BASE= to compare with nothing" >&2; exit 1; }
  tree=$(mktemp -d)
  trap 'git worktree remove --force "$tree"' EXIT
  echo "--- building $BASE to compare with"
  git worktree add -q --detach "$tree" "$BASE"
  base=$PWD/$out/varve-$(git rev-parse --short "$BASE")
  (cd "$tree" && ${GO:-go} build -trimpath -o "$base" ./cli/varve)
fi

# worse: with fewer than three pairs nobody can tell a regression from noise.
rc=0
worse() {
  if ((${RUNS:-3} < 3)); then
    echo "$1: RUNS=$RUNS is too few to tell noise: not taken for a failure" >&2
  else
    rc=1
  fi
}

while read -r name args; do
  [[ -z ${ONLY:-} || $ONLY == "$name" ]] || continue
  rm -f "$out/$name".{base,new}.jsonl
  for ((i = 1; i <= ${RUNS:-3}; i++)); do
    for side in ${base:+base} new; do
      program=
      [[ $side == new ]] || program="--program $base"
      echo "--- $name, run $i, $side, load $(cut -d' ' -f1 /proc/loadavg 2>/dev/null || true)"
      # shellcheck disable=SC2086 # words are what it is made of
      bin/varve bench $args $program --output jsonl >>"$out/$name.$side.jsonl"
    done
  done
  case $name in
    idle) judge=dollars_per_month ;;
    consume-* | produce-null | produce-mem) judge=cpu_s_per_gib,allocations_per_gib ;;
    *) judge=cpu_s_per_gib,allocations_per_gib,dollars_per_gb,put_per_gib,wru_per_gib ;;
  esac
  if [[ -n $base ]]; then
    bin/varve bench compare "$out/$name.base.jsonl" "$out/$name.new.jsonl" --tolerance "${TOLERANCE:-10%}" --only "${JUDGE:-$judge}" || worse "$name"
  else
    bin/varve bench compare "$out/$name.new.jsonl" "$out/$name.new.jsonl"
  fi
done < <(loads)
exit $rc

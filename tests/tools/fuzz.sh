#!/usr/bin/env bash
# Fuzzes every target of fuzz/fuzz_targets for the given number of seconds each. Stops at the first input that breaks
# one; libFuzzer then names the file in fuzz/artifacts that holds it.
#
# Built with the flags of cargo-fuzz less its address sanitizer, which wants a nightly compiler and would find little in
# a crate without unsafe code. So `cargo fuzz run TARGET` works on the same directory where cargo-fuzz is at hand.
set -euo pipefail
cd "$(dirname "$0")/../.."

readonly seconds=${1:?usage: fuzz.sh SECONDS [TARGET...]}
shift
host=$(rustc -vV | sed -n 's/^host: //p')
targets=("$@")
if [ $# = 0 ]; then
  mapfile -t targets < <(find fuzz/fuzz_targets -name '*.rs' -exec basename {} .rs \; | sort)
fi
[ ${#targets[@]} -gt 0 ] || { echo "fuzz: no targets in fuzz/fuzz_targets" >&2; exit 1; }

# Coverage for libFuzzer: counters at edges, and the operands of comparisons.
RUSTFLAGS='--cfg fuzzing -Cdebug-assertions -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4
  -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table
  -Cllvm-args=-sanitizer-coverage-trace-compares' \
  cargo build --quiet --locked --manifest-path fuzz/Cargo.toml --target-dir fuzz/target --target "$host" --bins

for target in "${targets[@]}"; do
  echo "fuzz: $target for $seconds s"
  corpus=fuzz/corpus/$target seeds=fuzz/seeds/$target log=fuzz/target/$target.log
  mkdir -p "$corpus" "$seeds" "fuzz/artifacts/$target"
  "fuzz/target/$host/debug/$target" -max_total_time="$seconds" -timeout=5 -rss_limit_mb=1024 -print_final_stats=1 \
    -artifact_prefix="fuzz/artifacts/$target/" "$corpus" "$seeds" >"$log" 2>&1 || { tail -n 40 "$log" >&2; exit 1; }
  grep -E 'number_of_executed_units|new_units_added' "$log"
done

#!/bin/sh
# Builds the targets for libFuzzer with the stable compiler: coverage without a sanitizer (`unsafe` is denied anyway), with
# what is checked in debug builds. `cargo fuzz` would want a nightly one. Arguments go to cargo: `--no-default-features` leaves
# out the targets that need the agents.
set -eu
cd "$(dirname "$0")"
export RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module \
  -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
  -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares"
# A target triple of its own keeps build scripts and macros free of it.
exec "${CARGO:-cargo}" build --target "$(rustc -vV | sed -n 's/^host: //p')" "$@"

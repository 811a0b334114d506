#!/bin/sh
# run.sh SECONDS [TARGET…]: fuzzes each target for so long, one after the other, and keeps what it found worth keeping, a few
# small files per target. What broke a promise is left in artifacts/ and ends the script with status 1.
set -eu
cd "$(dirname "$0")"
seconds=$1
shift
[ $# -gt 0 ] || set -- request substitution app_server_lines claude_lines redactor journal_reader skill_archive
./build.sh ${FUZZ_BUILD:-}
host=$(rustc -vV | sed -n 's/^host: //p')
# A corpus that an ordinary test can run.
most=150
largest=8192
status=0
for target; do
  fuzzer=${CARGO_TARGET_DIR:-target}/$host/debug/$target
  work=target/work/$target
  rm -rf "$work"
  mkdir -p "$work/found" "$work/small" "artifacts/$target"
  "$fuzzer" -max_total_time="$seconds" -max_len=16384 -timeout=20 -rss_limit_mb=2048 -print_final_stats=1 \
    -artifact_prefix="artifacts/$target/" "$work/found" "corpus/$target" || status=1
  "$fuzzer" -merge=1 -max_len=$largest "$work/small" "corpus/$target" "$work/found" || status=1
  # The smallest ones; seeds and what once broke a promise have names of their own and stay.
  find "corpus/$target" -type f ! -name 'seed-*' ! -name 'broke-*' -delete
  find "$work/small" -type f -size -"$largest"c -printf '%s %p\n' | sort -n | head -n "$most" | while read -r _ file; do
    cp "$file" "corpus/$target/"
  done
done
exit $status

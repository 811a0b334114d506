#!/bin/sh
# Says what the image has and leaves a file, so that a turn with a skill can be seen to have worked.
#
#   smoke.sh FOLDER
set -eu

folder=${1:?the folder to write to}
for tool in git python3 node codex claude; do
  if found=$("$tool" --version 2>/dev/null | head -n 1) && [ -n "$found" ]; then
    echo "$tool: $found"
  else
    echo "$tool: none"
  fi
done >"$folder/executor_smoke_result.txt"
cat "$folder/executor_smoke_result.txt"
echo "executor smoke test: passed"

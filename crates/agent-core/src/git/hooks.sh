#!/bin/sh
# Stands in for every hook of the repositories that tools work in: keeps protected branches from being pushed to, then
# runs the repository's own hook of the same name, wherever its configuration has it.
name=${0##*/}
if [ "$name" = pre-push ]; then
  refs=$(cat)
  while read -r _ _ remote _; do
    case $remote in
      @PROTECTED@)
        echo "wegent-executor: \`${remote#refs/heads/}\` is a protected branch and was not pushed." >&2
        echo "Push another branch and ask for it to be merged." >&2
        exit 1 ;;
    esac
  done <<REFS
$refs
REFS
fi
own=$(unset GIT_CONFIG_COUNT && git rev-parse --git-path "hooks/$name") || exit 0
[ -f "$own" ] && [ -x "$own" ] || exit 0
[ "$name" = pre-push ] || exec "$own" "$@"
if [ -n "$refs" ]; then printf '%s\n' "$refs"; fi | "$own" "$@"

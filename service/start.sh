#!/bin/sh
# Keeps the daemon running on a machine without systemd: from a login script, a cron line "@reboot", or by hand.
# Ends when the daemon was told to end (exit code 0) or can't run as it is set up (2, 4, 5).
set -u
wait=1
while :; do
  "${CODEX_DAEMON:-codex-daemon}" run --detached
  code=$?
  case $code in
    0 | 2 | 4 | 5) exit "$code" ;;
  esac
  echo "codex-daemon ended with $code; trying again in $wait s" >&2
  sleep "$wait"
  wait=$((wait * 2))
  [ "$wait" -gt 60 ] && wait=60
done

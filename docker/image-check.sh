#!/usr/bin/env bash
# Builds the images from their Dockerfiles without a container engine and tries each of them: its health check, Wegent's
# validation (of `full`), and a task by its own Codex with a scripted model. Needs root, buildah and, where no registry
# can be reached, debootstrap (both Debian packages). `make image-check` calls it.
#
#   image-check.sh [slim] [full] [base]     default: all three
#   BUILD_ARGS="--build-arg …"              more arguments for every build
#   BASE_IMAGE=…                            what docker/base builds on, instead of a Debian with git
set -euo pipefail
cd "$(dirname "$0")/.."

debian=docker.io/library/debian:trixie-slim
local_debian=localhost/debian:trixie
work=$(mktemp -d /tmp/image-check-XXXXXX)
context=$work/context
containers=()
server=

fail() { echo "image-check: $*" >&2; exit 1; }
finish() {
  [ -z "$server" ] || kill "$server" 2>/dev/null || true
  for container in "${containers[@]}"; do buildah rm "$container" >/dev/null 2>&1 || true; done
  rm -rf "$work"
}
trap finish EXIT
[ "$(id -u)" = 0 ] || fail "needs root, for chroot"
command -v buildah >/dev/null || fail "needs buildah: apt-get install buildah debootstrap"
export BUILDAH_ISOLATION=chroot

# Leaves the name of a Debian in $debian: the registry's, else one of our own.
find_debian() {
  if timeout 60 buildah pull --quiet "$debian" >/dev/null 2>&1; then return; fi
  debian=$local_debian
  if buildah inspect --type image "$debian" >/dev/null 2>&1; then return; fi
  command -v debootstrap >/dev/null || fail "no registry can be reached, and there is no debootstrap"
  echo "image-check: no registry can be reached; making a Debian with debootstrap"
  debootstrap --variant=minbase trixie "$work/debian" ${DEBIAN_MIRROR:+"$DEBIAN_MIRROR"} >"$work/debootstrap.log" 2>&1 \
    || fail "debootstrap failed: $(tail -n 3 "$work/debootstrap.log")"
  rm -rf "$work"/debian/var/cache/apt/archives/*.deb "$work"/debian/var/lib/apt/lists/*
  # As in Docker's own Debian: packages are not kept once they are installed.
  echo 'DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb || true"; };' >"$work/debian/etc/apt/apt.conf.d/docker-clean"
  local container
  container=$(buildah from scratch)
  buildah add --quiet "$container" "$work/debian" / >/dev/null
  buildah config --env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin --cmd bash "$container"
  buildah commit --quiet --rm "$container" "$debian" >/dev/null
  rm -rf "$work/debian"
}

# The files that the Dockerfiles copy, and the certificates that this machine trusts beside the public ones.
make_context() {
  mkdir -p "$context/tests/cli"
  cp -R docker dist .dockerignore "$context/"
  cp tests/cli/package-lock.json "$context/tests/cli/"
  cp /usr/local/share/ca-certificates/*.crt "$context/docker/ca/" 2>/dev/null || true
}

# An image like one of an operator's: git and python, no CLI of an agent and no executor.
make_base() {
  BASE_IMAGE=localhost/base-of-check:latest
  local container
  container=$(buildah from "$debian")
  containers+=("$container")
  buildah run "$container" -- sh -c 'apt-get update && apt-get install -y --no-install-recommends git python3 curl ca-certificates' \
    >"$work/base-of-check.log" 2>&1 || { tail -n 20 "$work/base-of-check.log" >&2; fail "making a base failed"; }
  buildah commit --quiet "$container" "$BASE_IMAGE" >/dev/null
}

build() { # TARGET DOCKERFILE [ARGUMENT…]
  local target=$1 file=$2
  shift 2
  local started=$SECONDS
  # shellcheck disable=SC2086 # words on purpose
  buildah build --format docker --layers "$@" ${BUILD_ARGS:-} -f "$context/$file" -t "localhost/wegent-executor:$target" "$context" \
    >"$work/$target.log" 2>&1 || { tail -n 40 "$work/$target.log" >&2; fail "building $target failed"; }
  echo "built $target in $((SECONDS - started)) s"
}

# In the image, as its health check and its manager would.
inside() { buildah run "${variables[@]}" "$container" -- "$@"; }

try() { # TARGET
  local target=$1 image=localhost/wegent-executor:$1 executor=/app/executor
  local container variables=(--env HOME=/root)
  container=$(buildah from "$image")
  containers+=("$container")
  if [ "$target" = base ]; then
    # As the manager does it: the executor is mounted into an image that has none.
    variables+=(--volume "$PWD/dist/$architecture:/mounted:ro")
    executor=/mounted/wegent-executor
  fi
  inside sh -c 'codex --version && claude --version && git --version' 2>/dev/null | sed "s/^/$target: /"
  inside "$executor" --version | sed "s/^/$target: /"
  if [ "$target" != base ]; then
    buildah run --user agent "$container" -- sh -c 'touch /workspace/as-agent && wegent-executor --version >/dev/null' \
      || fail "$target needs root"
  fi
  health "$target" "$executor"
  task "$target" "$executor"
  echo "$target: $(size "$container") MB"
}

# Serves, and asks the image's own health check until it is content.
health() { # TARGET EXECUTOR
  local port=18400 check
  check=$(buildah inspect --type image "localhost/wegent-executor:$1" | python3 -c '
import json, sys
print((json.load(sys.stdin)["Docker"]["config"].get("Healthcheck") or {"Test": ["", ""]})["Test"][1])')
  [ -n "$check" ] || [ "$1" = base ] || fail "$1 has no health check"
  variables+=(--env PORT=$port --env EXECUTOR_MODE=docker)
  inside timeout 60 "$2" serve >"$work/$1-serve.log" 2>&1 &
  local serving=$!
  for _ in $(seq 60); do
    if inside sh -c "${check:-curl -fsS --noproxy '*' -o /dev/null http://127.0.0.1:$port/}" 2>/dev/null; then
      echo "$1: healthy"
      # Only this one has all that Wegent asks a shell's image for.
      if [ "$1" = full ]; then
        for shell in Codex ClaudeCode; do
          docker/ask-validator.py "http://127.0.0.1:$port" $((port + 1)) "$shell" || fail "$1 is not valid for $shell"
        done
      fi
      inside sh -c "pkill -TERM -f '^$2 serve' || kill -TERM \$(pidof executor wegent-executor)" 2>/dev/null || true
      wait "$serving" 2>/dev/null || true
      return
    fi
    sleep 1
  done
  tail -n 20 "$work/$1-serve.log" >&2
  fail "$1 doesn't become healthy"
}

# One task: the image's Codex edits a file, as the scripted model says.
task() { # TARGET EXECUTOR
  inside sh -c 'rm -rf /workspace/demo && mkdir -p /workspace/demo && cd /workspace/demo && git init -q . && echo "helo" > greeting.txt'
  variables+=(--env OPENAI_API_KEY=scripted --env WEGENT_EXECUTOR_HOME=/tmp/executor-home)
  buildah run "${variables[@]}" --workingdir /workspace/demo "$container" -- "$2" run --shell codex --full-access \
    --model gpt-5.5 --base-url "$model" --prompt 'Correct the greeting. #script:edit #cmd:greeting.txt|helo|hello' \
    >"$work/$1-task.log" 2>&1 || { tail -n 30 "$work/$1-task.log" >&2; fail "the task in $1 failed"; }
  [ "$(inside cat /workspace/demo/greeting.txt)" = hello ] || { tail -n 30 "$work/$1-task.log" >&2; fail "the task in $1 left its file as it was"; }
  echo "$1: the task's file was corrected by the image's own codex"
}

size() { # CONTAINER
  local mounted
  mounted=$(buildah mount "$1")
  du -sm --one-file-system "$mounted" | cut -f 1
  buildah umount "$1" >/dev/null
}

case $(uname -m) in
  x86_64) architecture=amd64 ;;
  aarch64) architecture=arm64 ;;
  *) fail "no images for $(uname -m)" ;;
esac
[ -x "dist/$architecture/wegent-executor" ] || fail "no dist/$architecture/wegent-executor: make release"
[ -x target/debug/model-server ] || fail "no target/debug/model-server: make build"
find_debian
make_context
echo "base: $debian"
target/debug/model-server --script edit >"$work/model" 2>&1 &
server=$!
for _ in $(seq 50); do model=$(grep -o 'http://[^ ]*' "$work/model" || true); [ -z "$model" ] || break; sleep 0.1; done
[ -n "$model" ] || fail "the scripted model doesn't start"

targets=("$@")
[ ${#targets[@]} -gt 0 ] || targets=(slim full base)
arguments=(--build-arg "DEBIAN=$debian" --build-arg BINARY=prebuilt --build-arg "VERSION=$("dist/$architecture/wegent-executor" --version | cut -d ' ' -f 2)")
for target in "${targets[@]}"; do
  case $target in
    slim | full) build "$target" docker/executor/Dockerfile --target "$target" "${arguments[@]}" ;;
    base)
      [ -n "${BASE_IMAGE:-}" ] || make_base
      build base docker/base/Dockerfile --build-arg "BASE=$BASE_IMAGE" --build-arg CLIS=localhost/wegent-executor:slim
      ;;
    *) fail "unknown target $target" ;;
  esac
  try "$target"
done
echo "image-check: passed"

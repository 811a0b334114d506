#!/bin/sh
# Fetches the native agent CLIs that tests/cli pins and checks each against the lock file. Of several pins of one CLI the
# newest counts. Needs npm to fetch them; what is fetched needs no Node.
#
#   fetch-clis.sh PACKAGE_LOCK amd64|arm64 FOLDER      (NPM_REGISTRY names a mirror)
set -eu

lock=$1
folder=$3
if [ -n "${NPM_REGISTRY:-}" ]; then
  export npm_config_registry="$NPM_REGISTRY"
fi
case $2 in
  amd64) arch=x64 ;;
  arm64) arch=arm64 ;;
  *) echo "fetch-clis.sh: no CLIs for architecture '$2', only for amd64 and arm64" >&2; exit 2 ;;
esac
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Prints version, checksum and package of the newest pin of NAME.
pin() {
  jq -r --arg name "$1" '
    .packages | to_entries[] | select(.key | endswith("node_modules/" + $name))
    | [.value.version, .value.integrity, .value.name // $name] | @tsv' "$lock" | sort -V | tail -n 1
}

# Unpacks the package of NAME into $work/package.
fetch() {
  pinned=$(pin "$1")
  [ -n "$pinned" ] || { echo "fetch-clis.sh: $lock doesn't pin $1" >&2; exit 1; }
  version=$(echo "$pinned" | cut -f 1)
  package=$(echo "$pinned" | cut -f 3)
  rm -rf "$work/package" "$work"/*.tgz
  npm pack --silent --cache "$work/npm" --pack-destination "$work" "$package@$version" >/dev/null
  sum=sha512-$(openssl dgst -sha512 -binary "$work"/*.tgz | openssl base64 -A)
  [ "$sum" = "$(echo "$pinned" | cut -f 2)" ] \
    || { echo "fetch-clis.sh: $package@$version is not what $lock pins" >&2; exit 1; }
  tar -xzf "$work"/*.tgz -C "$work"
  echo "fetched $1 $version"
}

mkdir -p "$folder/codex" "$folder/claude-code"
fetch "@openai/codex-linux-$arch"
# Its helpers lie beside it and are found there. The voice host is 50 MB that no task hears.
cp -R "$work"/package/vendor/*/. "$folder/codex/"
rm -rf "$folder/codex/codex-resources/voice"
fetch "@anthropic-ai/claude-code-linux-$arch"
cp "$work"/package/* "$folder/claude-code/"
chmod -R a+rX "$folder/codex" "$folder/claude-code"

#!/usr/bin/env bash
# Runs the Autobahn WebSocket suite against the engine's echo example, which shares transport,
# handshake, connection and outbox with the product.
#
#   conformance.sh [CASES]     CASES as in run.sh; default: all that a server without compression has
#   conformance.sh --quick     groups 1-7 and 10, about 20 seconds, as the tests are built
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

profile=release
quick="1.* 2.* 3.* 4.* 5.* 6.* 7.* 10.*"
case ${1-} in
  -h | --help) sed -n '2,6s/^# \{0,1\}//p' "$0"; exit 0 ;;
  --quick) cases=$quick profile=debug ;;
  "") cases="$quick 9.*" ;;
  *) cases=$1 ;;
esac

# In the tests' profile nothing but the example itself is left to compile.
if [ "$profile" = release ]; then release=--release; fi
cargo build --quiet ${release-} --example echo
log=$(mktemp)
"./target/$profile/examples/echo" 0 >"$log" &
server=$!
trap 'kill "$server" 2>/dev/null; rm -f "$log"' EXIT
for _ in $(seq 100); do
  address=$(sed -n 's/^listening on //p' "$log")
  [ -n "$address" ] && break
  sleep 0.05
done
[ -n "$address" ] || { echo "the echo server did not start" >&2; exit 2; }
bash tests/conformance/run.sh "ws://$address" "$cases"

#!/usr/bin/env bash
# Runs the Autobahn WebSocket suite against the engine's echo example, which shares transport,
# handshake, connection and outbox with the product, or against the same echo on ws.
#
#   conformance.sh [CASES]     CASES as in run.sh; default: all, most of half an hour
#   conformance.sh --quick     groups 1-7 and 10, and one case of each kind of 12 and 13, in under a minute, as the tests are built
#   conformance.sh --peer ws [CASES]   the same cases against ws
#   conformance.sh --record    all cases against both; writes the table of docs/conformance.md
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

profile=release peer=zocket record=
quick="1.* 2.* 3.* 4.* 5.* 6.* 7.* 10.*"
# The cases of a kind differ in the lengths of messages alone. Each sends a thousand of them, so a few have to do: two lengths whole,
# and one in fragments.
sample=
for kind in 12.1 12.2 12.3 12.4 12.5 13.1 13.2 13.3 13.4 13.5 13.6 13.7; do sample+=" $kind.4"; done
sample+=" 12.2.6 13.3.6 12.1.11 13.4.11"
cases="$quick 9.* 12.* 13.*"
quick+=$sample
while [ $# -gt 0 ]; do
  case $1 in
    -h | --help) sed -n '2,9s/^# \{0,1\}//p' "$0"; exit 0 ;;
    --quick) cases=$quick profile=debug ;;
    --peer) peer=${2-}; shift ;;
    --record) record=1 ;;
    -*) echo "there is no option $1; --help tells which there are" >&2; exit 2 ;;
    *) cases=$1 ;;
  esac
  shift
done

scratch=$(mktemp -d)
server=
trap 'kill $server 2>/dev/null; rm -rf "$scratch"' EXIT

# judge PEER: starts it on a free port, and runs the cases against it.
judge() {
  local start log=$scratch/$1 address=
  case $1 in
    # In the tests' profile nothing but the example itself is left to compile.
    zocket)
      cargo build --quiet $([ "$profile" = debug ] || echo --release) --example echo
      start=(./target/"$profile"/examples/echo 0) ;;
    ws) start=(node tests/conformance/ws-echo.mjs 0) ;;
    *) echo "there is no peer \"$1\", only zocket and ws" >&2; exit 2 ;;
  esac
  "${start[@]}" >"$log" &
  server=$!
  for _ in $(seq 100); do
    address=$(sed -n 's/^listening on //p' "$log")
    [ -n "$address" ] && break
    sleep 0.05
  done
  [ -n "$address" ] || { echo "the echo server did not start" >&2; exit 2; }
  bash tests/conformance/run.sh "ws://$address" "$cases" || return
  kill "$server"
}

if [ -z "$record" ]; then judge "$peer"; exit; fi
for peer in zocket ws; do
  export AUTOBAHN_REPORTS=$scratch/reports-$peer
  # A case that fails goes into the table too; what broke the rig does not.
  judge "$peer" || { code=$?; [ "$code" = 1 ] || exit "$code"; kill "$server"; }
done
zocket="zocket $(node -p 'require("./package.json").version')"
ws="ws $(node -p 'require("ws/package.json").version')"
python3 tests/conformance/summary.py record docs/conformance.md \
  "$zocket=$scratch/reports-zocket" "$ws=$scratch/reports-ws"
npx prettier --write --log-level warn docs/conformance.md

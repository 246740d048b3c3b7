#!/usr/bin/env bash
# Checks what deploys Millrace, without a cluster and without a container engine: the chart, the container image and the Compose file.
# MILLRACE is a built binary: every option that a manifest gives it must be one that it knows.
# The last line is `PASS ops/helm: …` or `FAIL ops/helm: …`.
set -euo pipefail
ops=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.." && pwd)

fail() { echo "FAIL ops/helm: $*"; exit 1; }

millrace=${MILLRACE:-}
for built in "${CARGO_TARGET_DIR:-$ops/../target}"/{release,debug}/millrace; do
  [[ -n $millrace || ! -x $built ]] || millrace=$built
done
[[ -x $millrace ]] || fail "no binary to ask for its options: cargo build -p millrace, or MILLRACE=path/of/millrace"

tools=$("$ops/tools.sh") || fail "the tools could not be had; see above"
"$ops/helm/files.sh" --check || fail "the chart's rules and dashboards are not those of ops"
PYTHONDONTWRITEBYTECODE=1 exec "${XDG_CACHE_HOME:-$HOME/.cache}/millrace/venv/bin/python" "$ops/check" --tools "$tools" --millrace "$millrace"

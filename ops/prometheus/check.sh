#!/usr/bin/env bash
# Checks rules, alerts, runbook and dashboards against each other and against the metrics that there are. The last line is the verdict:
# `PASS prometheus: …` or `FAIL prometheus: …`; the exit code says the same.
#
# It needs promtool, and Python with PyYAML: ops/setup.sh gets both.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
cache=${XDG_CACHE_HOME:-$HOME/.cache}/millrace

fail() { echo "FAIL prometheus: $*"; exit 1; }

promtool=$cache/prometheus/usr/bin/promtool
[[ -x $promtool ]] || promtool=$(command -v promtool) || fail "promtool is missing: run ops/setup.sh"
python=$cache/venv/bin/python
[[ -x $python ]] || python=python3
"$python" -c 'import yaml' 2>/dev/null || fail "Python has no PyYAML: run ops/setup.sh"

"$promtool" check config prometheus.yml || fail "the configuration, or a rule, is wrong"
"$promtool" test rules tests/*.yml || fail "a rule does not do what its test says"
"$python" ../grafana/dashboards.py --check || fail "the dashboards are not up to date: run ops/grafana/dashboards.py"
"$python" check.py

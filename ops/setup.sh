#!/usr/bin/env bash
# Installs what the machine lacks to build and to test: a C and C++ compiler, make, pkg-config, zlib's headers (for librdkafka),
# and a JDK 17, Maven and procps (for the servers that tests run against). Rust itself has to be there.
# On Debian as root it installs them; elsewhere it prints what is missing, and fails.
set -euo pipefail

missing=()
need() { # need PACKAGE TEST...: the package is missing when the test fails
  local package=$1
  shift
  "$@" >/dev/null 2>&1 || missing+=("$package")
}

need build-essential command -v cc
need build-essential command -v c++
need build-essential command -v make
need pkg-config command -v pkg-config
need zlib1g-dev test -e /usr/include/zlib.h
need openjdk-17-jdk-headless command -v "${JAVA:-${JAVA_HOME:+$JAVA_HOME/bin/}java}"
need maven command -v mvn
need python3 command -v python3
need procps command -v ps
need util-linux command -v setpriv

if ! command -v cargo >/dev/null; then
  echo "setup: Rust is missing: https://rustup.rs" >&2
  exit 1
fi
if ((${#missing[@]} == 0)); then
  echo "setup: nothing is missing"
  exit 0
fi

mapfile -t missing < <(printf '%s\n' "${missing[@]}" | sort -u)
if [[ $EUID != 0 ]] || ! command -v apt-get >/dev/null; then
  {
    echo "setup: missing: ${missing[*]}"
    echo "setup: on Debian: sudo apt-get update && sudo apt-get install -y ${missing[*]}"
    echo "setup: elsewhere: install what your system calls these packages"
  } >&2
  exit 1
fi
echo "setup: installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends "${missing[@]}"

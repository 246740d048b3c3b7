# Java, Maven, and jars from Maven Central.

JAVA=${JAVA:-${JAVA_HOME:+$JAVA_HOME/bin/}java}
# Kafka and Cassandra collect garbage in parallel, with the program stopped: on two cores that took a quarter more workflows a second than G1,
# whose own threads and write barriers cost more than its shorter pauses are worth here.
JAVA_GC=-XX:+UseParallelGC
DEPENDENCY_PLUGIN=org.apache.maven.plugins:maven-dependency-plugin:3.8.1

java_release() { "$JAVA" -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p' | head -1; }

# install WHAT PACKAGE...: with apt-get where we may, else says what to do.
install() {
  local what=$1
  shift
  if [[ $EUID != 0 ]] || ! command -v apt-get >/dev/null; then
    die "$what is missing: apt-get install $* (as root), or what your system calls these packages"
  fi
  echo "cluster: installing $*" >&2
  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@"; } >&2 9>&- ||
    die "could not install $*"
}

# need_java MIN MAX: fails unless $JAVA is a release in that range.
need_java() {
  local release
  command -v "$JAVA" >/dev/null || install "a JDK 17" openjdk-17-jdk-headless
  release=$(java_release)
  ((release >= $1 && release <= $2)) || die "$server needs Java $1 to $2 and $JAVA is $release: set JAVA to another java"
}

# fetched FOLDER FUNCTION ARGS...: prints FOLDER's path under CLUSTER_JARS; if it is not there, FUNCTION ARGS... OUT fills it.
# It appears whole or not at all.
fetched() {
  local dir=$CLUSTER_JARS/$1 scratch
  shift
  mkdir -p "$CLUSTER_JARS"
  (
    flock 8
    if [[ ! -d $dir ]]; then
      command -v mvn >/dev/null || install Maven maven
      echo "cluster: fetching ${dir##*/}" >&2
      scratch=$(mktemp -d "$CLUSTER_JARS/.fetch.XXXXXX")
      mkdir "$scratch/out"
      "$@" "$scratch/out" >"$scratch/log" 2>&1 || {
        tail -20 "$scratch/log" >&2
        rm -rf "$scratch"
        die "could not fetch ${dir##*/}"
      }
      mv "$scratch/out" "$dir"
      rm -rf "$scratch"
    fi
  ) 8>"$CLUSTER_JARS/.lock" 9>&- || exit 1
  echo "$dir"
}

# fetch_jars GROUP:ARTIFACT:VERSION... OUT: those jars and all they need to run.
fetch_jars() {
  local out=${*: -1} coordinates group artifact version
  {
    echo '<project><modelVersion>4.0.0</modelVersion><groupId>millrace</groupId><artifactId>cluster</artifactId>'
    echo '<version>1</version><packaging>pom</packaging><dependencies>'
    for coordinates in "${@:1:$#-1}"; do
      IFS=: read -r group artifact version <<<"$coordinates"
      echo "<dependency><groupId>$group</groupId><artifactId>$artifact</artifactId><version>$version</version></dependency>"
    done
    echo '</dependencies></project>'
  } >"$out/../pom.xml"
  mvn -B -q -f "$out/../pom.xml" "$DEPENDENCY_PLUGIN:copy-dependencies" -DincludeScope=runtime -DoutputDirectory="$out"
}

# fetch_archive GROUP:ARTIFACT:VERSION:tar.gz:CLASSIFIER OUT: what is in that archive.
fetch_archive() {
  mvn -B -q "$DEPENDENCY_PLUGIN:copy" -Dartifact="$1" -DoutputDirectory="$2/.."
  tar xzf "$2"/../*.tar.gz -C "$2"
}

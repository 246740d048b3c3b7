# Apicurio Registry with its Confluent-compatible API. Schemas are kept in a file, so that ids survive a restart.

REGISTRY_VERSION=2.6.13.Final # the newest that runs on Java 17; releases 3 want 21

registry_fetch() {
  fetched "registry-$REGISTRY_VERSION" fetch_archive "io.apicurio:apicurio-registry-app:$REGISTRY_VERSION:tar.gz:all"
}

registry_create() {
  local dir app port
  need_java 17 99
  app=$(registry_fetch)
  port=${REGISTRY_PORT:-$(free_ports 1)}
  dir=$(node 1)
  mkdir -p "$dir"
  echo "$port" >"$dir/ports"
  write_run "$dir" "-Xmx${REGISTRY_HEAP:-256m}" -XX:+UseSerialGC -XX:TieredStopAtLevel=1 \
    -Dquarkus.http.host=127.0.0.1 -Dquarkus.http.port="$port" -DREGISTRY_DATASOURCE_URL="jdbc:h2:file:$dir/data/registry" \
    -jar "$(echo "$app"/*-runner.jar)"
}

registry_ready() {
  (
    exec 3<>"/dev/tcp/127.0.0.1/$(port "$1")" || exit 1
    printf 'GET /apis/ccompat/v7/subjects HTTP/1.0\r\n\r\n' >&3
    read -r -t 5 line <&3 && [[ $line == *' 200 '* ]]
  ) 2>/dev/null
}
registry_address() { echo "http://127.0.0.1:$(port "$(node 1)")/apis/ccompat/v7"; }
# Not MILLRACE_REGISTRY: a fleet uses a registry only when it is told to.
registry_env() { echo "export SCHEMA_REGISTRY_URL=$(registry_address)"; }

# Apache Cassandra, one node: a CQL server for machines that have no ScyllaDB.

CASSANDRA_VERSION=5.0.9

cassandra_fetch() { fetched "cassandra-$CASSANDRA_VERSION" fetch_jars "org.apache.cassandra:cassandra-all:$CASSANDRA_VERSION"; }

# What Cassandra reaches into on Java 17: the modules of its own conf/jvm17-server.options.
cassandra_modules() {
  printf -- '--add-exports=%s=ALL-UNNAMED\n' java.base/jdk.internal.misc java.base/java.lang.ref java.sql/java.sql \
    java.management.rmi/com.sun.jmx.remote.internal.rmi java.rmi/sun.rmi.registry java.rmi/sun.rmi.server \
    jdk.unsupported/sun.misc jdk.compiler/com.sun.tools.javac.file jdk.attach/sun.tools.attach
  printf -- '--add-opens=%s=ALL-UNNAMED\n' java.base/java.lang.module java.base/jdk.internal.loader java.base/jdk.internal.ref \
    java.base/jdk.internal.reflect java.base/jdk.internal.math java.base/jdk.internal.module java.base/jdk.internal.util.jar \
    jdk.management/com.sun.management.internal java.base/sun.nio.ch java.base/java.io java.base/java.lang.reflect \
    jdk.compiler/com.sun.tools.javac java.base/java.lang java.base/java.util java.base/java.nio
}

# cassandra.yaml of node $1, for one node that starts at once and stays small.
cassandra_yaml() {
  local dir=$1 sync=$2
  cat <<END
cluster_name: millrace
partitioner: org.apache.cassandra.dht.Murmur3Partitioner
endpoint_snitch: SimpleSnitch
num_tokens: 1
initial_token: 0
auto_bootstrap: false
seed_provider:
  - class_name: org.apache.cassandra.locator.SimpleSeedProvider
    parameters: [{seeds: "127.0.0.1:$(port "$dir" 2)"}]
listen_address: 127.0.0.1
storage_port: $(port "$dir" 2)
rpc_address: 127.0.0.1
native_transport_port: $(port "$dir")
data_file_directories: ["$dir/data"]
commitlog_directory: $dir/commitlog
saved_caches_directory: $dir/saved_caches
hints_directory: $dir/hints
cdc_raw_directory: $dir/cdc_raw
commitlog_sync: $sync
$([[ $sync != periodic ]] || echo 'commitlog_sync_period: 10000ms')
commitlog_segment_size: 32MiB
memtable_allocation_type: heap_buffers
concurrent_compactors: 1
hinted_handoff_enabled: false
auto_snapshot: false
key_cache_size: 16MiB
prepared_statements_cache_size: 16MiB
END
  [[ ${SECURE:-} != 1 ]] || tls_cassandra
  echo "${CASSANDRA_CONFIG:-}"
}

cassandra_create() {
  local dir jars sync=${CASSANDRA_COMMITLOG_SYNC:-periodic} heap=${CASSANDRA_HEAP:-1g} first modules
  [[ $sync == periodic || $sync == batch ]] || die "CASSANDRA_COMMITLOG_SYNC must be periodic or batch, not $sync"
  need_java 11 17
  jars=$(cassandra_fetch)
  first=$(free_ports 3)
  dir=$(node 1)
  mkdir -p "$dir/tmp"
  printf '%s\n' "${CASSANDRA_PORT:-$first}" $((first + 1)) $((first + 2)) >"$dir/ports" # CQL, between nodes, JMX
  [[ ${SECURE:-} != 1 ]] || tls_create
  cassandra_yaml "$dir" "$sync" >"$dir/cassandra.yaml"
  cat >"$dir/logback.xml" <<'END'
<configuration>
  <appender name="OUT" class="ch.qos.logback.core.ConsoleAppender">
    <encoder><pattern>%d %-5level [%thread] %logger{20} %msg%n</pattern></encoder>
  </appender>
  <root level="INFO"><appender-ref ref="OUT"/></root>
</configuration>
END
  mapfile -t modules < <(cassandra_modules)
  write_run "$dir" "-Xms$heap" "-Xmx$heap" -Xss512k "$JAVA_GC" -XX:+ExitOnOutOfMemoryError \
    -XX:+PerfDisableSharedMem -Djava.net.preferIPv4Stack=true -Djava.io.tmpdir="$dir/tmp" \
    -Djdk.attach.allowAttachSelf=true -Dio.netty.tryReflectionSetAccessible=true "${modules[@]}" \
    -javaagent:"$(echo "$jars"/jamm-*.jar)" -Dlogback.configurationFile="$dir/logback.xml" \
    -Dcassandra.config="file://$dir/cassandra.yaml" -Dcassandra.storagedir="$dir" -Dcassandra.logdir="$dir" \
    -Dcassandra-foreground=yes -Dcassandra.jmx.local.port="$(port "$dir" 3)" -Dcassandra.ring_delay_ms=0 \
    -Dcassandra.skip_wait_for_gossip_to_settle=0 -Dcassandra.superuser_setup_delay_ms=0 \
    -cp "$jars/*" org.apache.cassandra.service.CassandraDaemon
}

cassandra_is_secure() { grep -q '^client_encryption_options' "$1/cassandra.yaml"; }
cassandra_ready() {
  logged "$1" 'Startup complete' && port_taken "$(port "$1")" || return 1
  # With passwords, nobody is let in before there is a user; the data of an earlier start has one.
  ! cassandra_is_secure "$1" || [[ -e $1/has-user ]] || { logged "$1" 'Created default superuser role' && touch "$1/has-user"; }
}
cassandra_address() { echo "127.0.0.1:$(port "$(node 1)")"; }
cassandra_env() {
  printf 'export %s=%s\n' CQL_CONTACT_POINT "$(cassandra_address)" MILLRACE_CQL "$(cassandra_address)" MILLRACE_CQL_REPLICATION 1
  ! cassandra_is_secure "$(node 1)" || tls_env cassandra
}

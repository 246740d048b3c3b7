# Apache Kafka in KRaft mode: BROKERS nodes, each a broker and a controller in one process.

KAFKA_VERSION=4.4.0
KAFKA_LOG4J=org.apache.logging.log4j:log4j-slf4j-impl:2.25.5

kafka_fetch() { fetched "kafka-$KAFKA_VERSION" fetch_jars "org.apache.kafka:kafka_2.13:$KAFKA_VERSION" "$KAFKA_LOG4J"; }

# server.properties of node $1. What differs from Kafka's defaults serves one machine, or the processor's tests:
# a dead producer's transaction is aborted soon, a dead member's partitions are free after seconds, and a killed broker is let
# in again after seconds.
kafka_properties() {
  local n=$1 brokers=$2 port=$3 voters=$4 replicas=$((brokers < 3 ? brokers : 3)) in_sync=$((brokers < 3 ? 1 : 2))
  cat <<END
process.roles=broker,controller
node.id=$n
controller.quorum.voters=$voters
listeners=PLAINTEXT://127.0.0.1:$((port + n - 1)),CONTROLLER://127.0.0.1:$((port + brokers + n - 1))
advertised.listeners=PLAINTEXT://127.0.0.1:$((port + n - 1))
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
log.dirs=$CLUSTER_HOME/kafka/$n/data
auto.create.topics.enable=false
default.replication.factor=$replicas
min.insync.replicas=$in_sync
offsets.topic.replication.factor=$replicas
offsets.topic.num.partitions=6
transaction.state.log.replication.factor=$replicas
transaction.state.log.min.isr=$in_sync
transaction.state.log.num.partitions=6
share.coordinator.state.topic.replication.factor=$replicas
share.coordinator.state.topic.min.isr=$in_sync
share.coordinator.state.topic.num.partitions=3
transaction.abort.timed.out.transaction.cleanup.interval.ms=1000
group.min.session.timeout.ms=1000
group.consumer.min.session.timeout.ms=1000
group.consumer.session.timeout.ms=6000
group.consumer.min.heartbeat.interval.ms=250
group.consumer.heartbeat.interval.ms=1000
group.initial.rebalance.delay.ms=0
broker.heartbeat.interval.ms=500
broker.session.timeout.ms=3000
log.cleaner.dedupe.buffer.size=33554432
END
  [[ ${SECURE:-} != 1 ]] || tls_kafka "$n" "$brokers" "$port"
  echo "${KAFKA_CONFIG:-}"
}

kafka_log4j() {
  cat <<'END'
rootLogger.level = info
rootLogger.appenderRef.out.ref = out
logger.config.name = org.apache.kafka.common.config
logger.config.level = warn
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d %p %m (%c{1})%n
END
}

kafka_create() {
  local brokers=${BROKERS:-1} port n dir jars id voters=() jvm users=()
  [[ $brokers =~ ^[1-9]$ ]] || die "BROKERS must be 1 to 9, not $brokers"
  need_java 17 99
  jars=$(kafka_fetch)
  port=${KAFKA_PORT:-$(free_ports $((2 * brokers)))}
  if [[ ${SECURE:-} == 1 ]]; then
    tls_create
    users=(--add-scram "SCRAM-SHA-512=[name=$SECURE_USER,password=$SECURE_PASSWORD]")
  fi
  for ((n = 1; n <= brokers; n++)); do voters+=("$n@127.0.0.1:$((port + brokers + n - 1))"); done
  id=$(head -c 16 /dev/urandom | base64 | tr '+/' 'AA' | cut -c1-22)
  for ((n = 1; n <= brokers; n++)); do
    dir=$(node "$n")
    mkdir -p "$dir"
    printf '%s\n' $((port + n - 1)) $((port + brokers + n - 1)) >"$dir/ports"
    kafka_log4j >"$dir/log4j2.properties"
    kafka_properties "$n" "$brokers" "$port" "$(IFS=,; echo "${voters[*]}")" >"$dir/server.properties"
    jvm=(-Djava.awt.headless=true "-Dlog4j2.configurationFile=$dir/log4j2.properties" -cp "$jars/*")
    "$JAVA" -Xmx128m -XX:TieredStopAtLevel=1 "${jvm[@]}" kafka.tools.StorageTool format -t "$id" -c "$dir/server.properties" "${users[@]}" \
      >"$dir/log" 2>&1 9>&- || {
      tail -20 "$dir/log" >&2
      rm -rf "$CLUSTER_HOME/kafka"
      die "could not format Kafka's storage"
    }
    write_run "$dir" "-Xmx${KAFKA_HEAP:-512m}" "$JAVA_GC" -XX:+ExitOnOutOfMemoryError "${jvm[@]}" kafka.Kafka "$dir/server.properties"
  done
}

# The broker logs this only once it is registered and unfenced.
kafka_ready() { logged "$1" 'Kafka Server started' && port_taken "$(port "$1")"; }

kafka_address() {
  local dir all=()
  for dir in $(nodes); do all+=("127.0.0.1:$(port "$dir")"); done
  (IFS=,; echo "${all[*]}")
}

kafka_env() {
  printf 'export %s=%s\n' KAFKA_BOOTSTRAP "$(kafka_address)" MILLRACE_BOOTSTRAP "$(kafka_address)"
  ! grep -q '^listeners=SASL_SSL' "$(node 1)/server.properties" || tls_env kafka
}

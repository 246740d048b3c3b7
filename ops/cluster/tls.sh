# TLS and passwords, for servers that are started with SECURE=1: an authority of this cluster's own, certificates, and the files that
# clients are given.

SECURE_USER=millrace
SECURE_PASSWORD=a-password-for-tests

tls() { echo "$CLUSTER_HOME/tls"; }

# tls_certificate NAME PURPOSE SUBJECT_ALT_NAMES: NAME.key and NAME.crt, by the authority.
tls_certificate() {
  local dir=$1 name=$2 purpose=$3 names=$4
  openssl req -new -newkey rsa:2048 -nodes -keyout "$dir/$name.key" -subj "/CN=millrace-$name" -out "$dir/$name.csr" 2>"$dir/log"
  openssl x509 -req -in "$dir/$name.csr" -CA "$dir/ca.crt" -CAkey "$dir/ca.key" -CAcreateserial -days 30 -out "$dir/$name.crt" \
    -extfile <(printf 'subjectAltName=%s\nextendedKeyUsage=%s\nkeyUsage=digitalSignature,keyEncipherment\n' "$names" "$purpose") \
    2>>"$dir/log"
}

tls_authority() {
  openssl req -x509 -newkey rsa:2048 -nodes -keyout "$1.key" -out "$1.crt" -days 30 -subj "/CN=$2" \
    -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign 2>/dev/null
}

# Makes all of it, once for a cluster.
tls_create() {
  local dir scratch
  dir=$(tls)
  [[ ! -d $dir ]] || return 0
  command -v openssl >/dev/null || install openssl openssl
  scratch=$(mktemp -d "$CLUSTER_HOME/.tls.XXXXXX")
  tls_authority "$scratch/ca" "an authority for tests"
  tls_authority "$scratch/other-ca" "an authority that has signed nothing"
  tls_certificate "$scratch" server serverAuth,clientAuth IP:127.0.0.1,DNS:localhost
  tls_certificate "$scratch" client clientAuth DNS:client
  # As servers in Java want them: the key, then the certificate and whoever signed it.
  cat "$scratch/server.key" "$scratch/server.crt" "$scratch/ca.crt" >"$scratch/server.pem"
  cat >"$scratch/kafka.properties" <<END
# What clients of this Kafka need: millrace … --kafka-config
security.protocol=SASL_SSL
sasl.mechanism=SCRAM-SHA-512
sasl.username=$SECURE_USER
sasl.password=$SECURE_PASSWORD
ssl.ca.location=$dir/ca.crt
ssl.certificate.location=$dir/client.crt
ssl.key.location=$dir/client.key
END
  # The superuser that Cassandra makes itself.
  printf 'user=cassandra\npassword=cassandra\n' >"$scratch/cql.login"
  mv "$scratch" "$dir" # it appears whole or not at all
}

# Of server.properties. Where lines contradict earlier ones, Kafka takes the last.
tls_kafka() {
  local n=$1 brokers=$2 port=$3 dir
  dir=$(tls)
  cat <<END
listeners=SASL_SSL://127.0.0.1:$((port + n - 1)),CONTROLLER://127.0.0.1:$((port + brokers + n - 1))
advertised.listeners=SASL_SSL://127.0.0.1:$((port + n - 1))
listener.security.protocol.map=SASL_SSL:SASL_SSL,CONTROLLER:PLAINTEXT
inter.broker.listener.name=SASL_SSL
sasl.enabled.mechanisms=SCRAM-SHA-512
sasl.mechanism.inter.broker.protocol=SCRAM-SHA-512
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required \
username="$SECURE_USER" password="$SECURE_PASSWORD";
ssl.client.auth=required
ssl.keystore.type=PEM
ssl.keystore.location=$dir/server.pem
ssl.truststore.type=PEM
ssl.truststore.location=$dir/ca.crt
END
}

# Of cassandra.yaml.
tls_cassandra() {
  local dir
  dir=$(tls)
  cat <<END
authenticator: PasswordAuthenticator
authorizer: CassandraAuthorizer
role_manager: CassandraRoleManager
client_encryption_options:
  enabled: true
  optional: false
  require_client_auth: true
  ssl_context_factory: {class_name: org.apache.cassandra.security.PEMBasedSslContextFactory}
  keystore: $dir/server.pem
  truststore: $dir/ca.crt
END
}

# What clients are told. The files of the store are for those of its options.
tls_env() {
  local dir
  dir=$(tls)
  case $1 in
    kafka) printf 'export %s=%s\n' MILLRACE_KAFKA_CONFIG "$dir/kafka.properties" ;;
    cassandra)
      printf 'export %s=%s\n' MILLRACE_CQL_CA "$dir/ca.crt" MILLRACE_CQL_CERTIFICATE "$dir/client.crt" \
        MILLRACE_CQL_KEY "$dir/client.key" MILLRACE_CQL_LOGIN "$dir/cql.login"
      ;;
  esac
}

"""Values that must be refused, each with what helm is to say of it: a check that nothing refuses checks nothing.

Manifests that kubeconform must refuse are here for the same reason."""

from concurrent.futures import ThreadPoolExecutor

from render import Refused

LEAST = ('kafka={"bootstrap":"kafka:9092"}', 'cql={"contactPoints":["scylla:9042"]}')

# What is set beside the least that has to be given, and a part of the message.
VALUES = [
    ('kafka.bootstrap=""', "kafka.bootstrap has to be given"),
    ("cql.contactPoints=[]", "cql.contactPoints has to be given"),
    ('kafka.bootstrap="kafka"', "at '/kafka/bootstrap': 'kafka' does not match pattern"),
    ('kafka.bootstrap="a:9092, b:9092"', "at '/kafka/bootstrap'"),
    ('cql.contactPoints=["scylla"]', "at '/cql/contactPoints/0'"),
    ('kafka.brokers="a:1"', "at '/kafka': additional properties 'brokers' not allowed"),
    ("replicas=3", "additional properties 'replicas' not allowed"),
    ("processors.replicas=-1", "at '/processors/replicas': minimum: got -1, want 0"),
    ('processors.replicas="3"', "at '/processors/replicas': got string, want integer"),
    ("processors.replicas=9", "9 processors are more than the 8 of topics.partitions"),
    ('processors.autoscaling={"enabled":true,"maxReplicas":16}', "16 processors are more than the 8 of topics.partitions"),
    ('processors.autoscaling={"enabled":true,"minReplicas":9}', "processors.autoscaling.minReplicas is more than maxReplicas"),
    ("processors.lanes=0", "at '/processors/lanes': minimum: got 0, want 1"),
    ('processors.groupProtocol="new"', "at '/processors/groupProtocol': value must be one of 'classic', 'consumer'"),
    ("processors.startupSeconds=300", "processors.startupSeconds has to be more than processors.waitSeconds"),
    ("processors.preStopSeconds=60", "leaves less than 5 s of processors.terminationGracePeriodSeconds"),
    ("processors.terminationGracePeriodSeconds=9", "leaves less than 5 s of processors.terminationGracePeriodSeconds"),
    ('processors.options={"cache-mb":1}', "at '/processors/options': additional properties 'cache-mb' not allowed"),
    ('processors.options={"ordinal":1}', "at '/processors/options': additional properties 'ordinal' not allowed"),
    ('processors.options={"cache-idle":"soon"}', "at '/processors/options/cache-idle'"),
    ('processors.options={"cache-mib":"64MB"}', "at '/processors/options/cache-mib': got string, want integer"),
    ('processors.keda={"enabled":true}', "processors.keda.prometheus has to be given"),
    (
        'processors={"keda":{"enabled":true,"prometheus":"http://p:9090"},"autoscaling":{"enabled":true}}',
        "processors.autoscaling and processors.keda cannot both be enabled",
    ),
    ('workers.groups={"a":{"keda":{"enabled":true}}}', "workers.groups.a.keda.prometheus has to be given"),
    ('workers.defaults.autoscaling={"enabled":true,"minReplicas":9}', "workers.groups.default.autoscaling.minReplicas is more than maxReplicas"),
    ('traces={"endpoint":"collector:4317"}', "at '/traces/endpoint'"),
    ('traces={"sampler":"sometimes"}', "at '/traces/sampler': value must be one of"),
    ('traces={"ratio":2}', "at '/traces/ratio': maximum: got 2, want 1"),
    ("topics.partitions=12", "at '/topics/partitions': value must be one of 1, 2, 4"),
    ("topics.waitSeconds=600", "topics.timeoutSeconds has to be more than topics.waitSeconds"),
    ('topics.queues=["a b"]', "at '/topics/queues/0'"),
    ('prefix="a/b"', "at '/prefix'"),
    ('kafka.settings={"sasl.password":"x"}', "kafka.settings.sasl.password would be readable in the release"),
    ('kafka.settings={"ssl.key.pem":"x"}', "kafka.settings.ssl.key.pem would be readable in the release"),
    ('kafka.settings={"security.protocol":"SSL"}', "kafka.settings.security.protocol follows from kafka.tls and kafka.sasl"),
    ('kafka.settings={"group.id":"x"}', "kafka.settings.group.id is not to be set"),
    ('kafka.settings={"client_rack":"x"}', "invalid propertyName 'client_rack'"),
    ('kafka.sasl={"mechanism":"GSSAPI","secret":"x"}', "at '/kafka/sasl/mechanism': value must be one of"),
    ('kafka.sasl={"mechanism":"PLAIN"}', "kafka.sasl.secret has to be given with kafka.sasl.mechanism"),
    ('kafka.sasl={"password":"x"}', "at '/kafka/sasl': additional properties 'password' not allowed"),
    ('cql.auth={"password":"x"}', "at '/cql/auth': additional properties 'password' not allowed"),
    ('cql.tls={"enabled":true,"ca":{"secret":"a","configMap":"b"}}', "cql.tls.ca is in a Secret or in a ConfigMap, not in both"),
    ('cql.tls={"enabled":true,"verify":"none"}', "at '/cql/tls/verify': value must be one of 'full', 'authority'"),
    ('cql.consistency="ONE"', "at '/cql/consistency': value must be one of 'LOCAL_QUORUM', 'QUORUM'"),
    ("cql.replication=0", "at '/cql/replication': minimum: got 0, want 1"),
    ('image.tag="a b"', "at '/image/tag'"),
    ('image.digest="latest"', "at '/image/digest'"),
    ('image.repository="millrace:latest"', "at '/image/repository'"),
    ('workers.groups={"Large":{}}', "invalid propertyName 'Large'"),
    ('workers.groups={"a":{"allowProcesses":true}}', "at '/workers/groups/a': additional properties 'allowProcesses' not allowed"),
    ("workers.defaults.concurrency=0", "at '/workers/defaults/concurrency': minimum: got 0, want 1"),
    ('workers.groups={"a":{"extraEnv":[{"name":"API_TOKEN","value":"x"}]}}', "workers.groups.a.extraEnv: API_TOKEN looks like a secret"),
    ('processors.extraEnv=[{"name":"A_PASSWORD","value":"x"}]', "processors.extraEnv: A_PASSWORD looks like a secret"),
    ('service.type="LoadBalancer"', "nothing says who may use the API"),
    ('api={"jwt":{"issuer":"https://id.example.com"}}', "api.jwt.issuer and api.jwt.audience belong together"),
    ('api={"jwt":{"roles":{"ops":"root"}}}', "at '/api/jwt/roles/ops': value must be one of 'read', 'write', 'admin'"),
    ('log.format="xml"', "at '/log/format': value must be one of 'human', 'json'"),
    ('networkPolicy.kafka={"ports":[99999]}', "at '/networkPolicy/kafka/ports/0': maximum: got 99,999, want 65,535"),
]

# A manifest that differs from a right one in one thing that only the schemas of Kubernetes know.
MANIFESTS = {
    "a field that there is not": "{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {ports: [{port: 1, targetport: 2}]}}",
    "a type that is wrong": "{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {ports: [{port: one}]}}",
    "a field of a custom resource that there is not": "{apiVersion: monitoring.coreos.com/v1, kind: ServiceMonitor, metadata: {name: a}, "
    "spec: {selector: {}, endpoints: [{port: http, pth: /metrics}]}}",
    "a custom resource without what it needs": "{apiVersion: keda.sh/v1alpha1, kind: ScaledObject, metadata: {name: a}, spec: {triggers: []}}",
    "a kind that there is not": "{apiVersion: v1, kind: Srevice, metadata: {name: a}}",
}


def check(chart, problems):
    with ThreadPoolExecutor(2) as pool:
        for problem in pool.map(lambda it: _check_values(chart, *it), VALUES):
            if problem:
                problems.add(*problem)
    for what, manifest in MANIFESTS.items():
        done = chart.kubeconform(manifest, chart.releases[-1])
        problems.unless(done.returncode, "kubeconform", f"takes {what}")
    return len(VALUES) + len(MANIFESTS)


def _check_values(chart, pair, message):
    try:
        chart.text(sets=[*LEAST, pair])
    except Refused as refused:
        told = str(refused)
        return None if message in told else (f"values {pair}", f"are refused, but not by {message!r}: {told}")
    return f"values {pair}", "are not refused"

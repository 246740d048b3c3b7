"""A worker in plain Python. Needs: pip install confluent-kafka fastavro. Runs: worker.py BOOTSTRAP PREFIX QUEUE"""
import io, json, pathlib, sys, uuid
import fastavro
from confluent_kafka import Consumer, KafkaException, Producer

functions = {"charge-payment": lambda arguments: {"charged": arguments["amount"]}}  # yours go here

bootstrap, prefix, queue = sys.argv[1:4]
schema = fastavro.schema.load_schema(pathlib.Path(__file__).resolve().parents[4] / "schemas/avro/task_command.avsc")
consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": f"{prefix}.worker.{queue}", "auto.offset.reset": "earliest",
                     "enable.auto.commit": False, "isolation.level": "read_committed",
                     "partition.assignment.strategy": "cooperative-sticky"})  # as the Rust SDK has it: both can share a group
producer = Producer({"bootstrap.servers": bootstrap, "partitioner": "murmur2_random", "enable.idempotence": True})


def delivered(error, _):
    if error:
        raise KafkaException(error)  # the worker ends, and the tasks that are not committed run again


consumer.subscribe([f"{prefix}.commands.{queue}"])
while True:
    records = [record for record in consumer.consume(100, timeout=1.0) if not record.error()]
    for record in records:
        task = fastavro.schemaless_reader(io.BytesIO(record.value()[10:]), schema)  # 2 bytes marker, 8 bytes fingerprint
        answer = {"specversion": "1.0", "id": str(uuid.uuid4()), "source": f"/workers/{queue}", "subject": task["instance"],
                  "tasktoken": "{execution}.{dispatch}".format(**task["token"]), "datacontenttype": "application/json"}
        try:  # task["idempotency_key"] is the same for every delivery and attempt: let an effect happen once for each
            output = functions[task["function"]](json.loads(task["arguments"]))
            answer |= {"type": "io.millrace.task.completed", "data": output}
        except Exception as error:
            retriable = not isinstance(error, KeyError)  # an unknown function, or a missing argument, stays so
            answer |= {"type": "io.millrace.task.failed", "data": {"title": repr(error), "retriable": retriable}}
        trace = {name: value for name, value in record.headers() or [] if name in ("traceparent", "tracestate")}  # it goes on
        producer.produce(f"{prefix}.events", key=task["instance"], value=json.dumps(answer), on_delivery=delivered,
                         headers={"content-type": "application/cloudevents+json"} | trace)
    if records and producer.flush() == 0:
        consumer.commit(asynchronous=False)  # only now: what has no answer yet runs again after a crash

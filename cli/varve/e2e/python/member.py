"""A member of a group with confluent-kafka: is called, and says, as java/.../Member.java describes."""

import sys
import threading

from confluent_kafka import Consumer, KafkaException


def say(line):
    print(line, flush=True)


def settings(servers, group, words):
    conf = {"bootstrap.servers": servers, "group.id": group, "auto.offset.reset": "earliest", "enable.auto.commit": False,
            "fetch.wait.max.ms": 200, "partition.assignment.strategy": "range", "error_cb": lambda e: None,
            "reconnect.backoff.max.ms": 500}
    for word in words:
        name, value = word.split("=", 1)
        if name == "instance":
            conf["group.instance.id"] = value
        elif name == "strategy" and value == "cooperative":
            conf["partition.assignment.strategy"] = "cooperative-sticky"
        elif name == "strategy" and value == "consumer":
            conf["group.protocol"] = "consumer"
        elif name == "session":
            conf["session.timeout.ms"] = int(value)
            conf["heartbeat.interval.ms"] = int(value) // 10
    if conf.get("group.protocol") == "consumer":  # the server says these
        for name in "session.timeout.ms", "heartbeat.interval.ms", "partition.assignment.strategy":
            conf.pop(name, None)
    return conf


def tell(what):
    return lambda _, partitions: say(f"{what} {','.join(sorted(str(p.partition) for p in partitions))}")


def step(consumer):
    ranges = {}
    for m in consumer.consume(500, 0.2):
        if m.error():
            say(f"again {m.error()}".replace("\n", " "))
            continue
        first, _ = ranges.get(m.partition(), (m.offset(), None))
        ranges[m.partition()] = (first, m.offset())
    for partition, (first, last) in ranges.items():
        say(f"read {partition} {first} {last}")
    if ranges:
        consumer.commit(asynchronous=False)


def main():
    over = threading.Event()

    def wait():
        sys.stdin.read()
        over.set()

    threading.Thread(target=wait, daemon=True).start()
    consumer = Consumer(settings(sys.argv[1], sys.argv[3], sys.argv[4:]))
    consumer.subscribe([sys.argv[2]], on_assign=tell("assigned"), on_revoke=tell("revoked"), on_lost=tell("revoked"))
    while not over.is_set():
        try:
            step(consumer)
        except KafkaException as e:
            say(f"uncommitted {e}".replace("\n", " "))
    consumer.close()
    say("left")


main()

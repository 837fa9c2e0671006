"""confluent-kafka for the end-to-end tests: obeys the lines that java/ describes."""

import base64
import sys

import confluent_kafka
from confluent_kafka import OFFSET_END, Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewTopic

TIMEOUT = 60  # seconds
ROUND = 500  # records sent before waiting for all of them


def text(b):
    return "~" if b is None else base64.b64encode(b).decode()


def data(s):
    return None if s == "~" else base64.b64decode(s)


def version():
    return [f"{confluent_kafka.__version__} (librdkafka {confluent_kafka.libversion()[0]})"]


def create(addr, topic, partitions):
    admin = AdminClient({"bootstrap.servers": addr})
    admin.create_topics([NewTopic(topic, int(partitions), 1)])[topic].result(TIMEOUT)
    return []


def delete(addr, topic):
    admin = AdminClient({"bootstrap.servers": addr})  # a name of its own: the answer dies with it
    admin.delete_topics([topic])[topic].result(TIMEOUT)
    return []


def list_topics(addr):
    return list(AdminClient({"bootstrap.servers": addr}).list_topics(timeout=TIMEOUT).topics)


def describe(addr, topic):
    return [str(len(AdminClient({"bootstrap.servers": addr}).list_topics(topic, TIMEOUT).topics[topic].partitions))]


def config(addr, topic, name):
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
    admin = AdminClient({"bootstrap.servers": addr})
    return [admin.describe_configs([resource])[resource].result(TIMEOUT)[name].value]


def alter(addr, topic, name, value):
    entry = ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic, incremental_configs=[entry])
    admin = AdminClient({"bootstrap.servers": addr})
    admin.incremental_alter_configs([resource])[resource].result(TIMEOUT)
    return []


def produce(addr, topic, codec, count):
    lines = [sys.stdin.readline().rstrip("\n") for _ in range(int(count))]
    producer = Producer({"bootstrap.servers": addr, "compression.type": codec, "acks": "all",
                         "enable.idempotence": True, "linger.ms": 1})
    offsets = [None] * len(lines)
    failures = []

    def delivered(i):
        def report(err, message):
            if err:
                failures.append(err)
            else:
                offsets[i] = str(message.offset())
        return report

    for i, line in enumerate(lines):
        f = line.split(" ")
        headers = [(data(n).decode(), data(v)) for n, v in (h.split(":") for h in f[5:])]
        producer.produce(topic, value=data(f[4]), key=data(f[3]), partition=int(f[0]), timestamp=int(f[2]),
                         headers=headers, on_delivery=delivered(i))
        producer.poll(0)
        if (i + 1) % ROUND == 0:
            producer.flush(TIMEOUT)
    left = producer.flush(TIMEOUT)
    if failures or left:
        raise RuntimeError(f"{len(failures)} failed, {left} left: {failures[:1]}")
    return offsets


def consume(addr, topic, millis=None, offset=None):
    consumer = Consumer({"bootstrap.servers": addr, "group.id": "unused", "enable.auto.commit": False,
                         "check.crcs": True, "auto.offset.reset": "error"})
    try:
        return read(consumer, topic, millis, offset)
    finally:
        consumer.close()


def read(consumer, topic, millis, offset):
    partitions = list(consumer.list_topics(topic, TIMEOUT).topics[topic].partitions)
    ends, starts = {}, []
    for p in partitions:
        low, high = consumer.get_watermark_offsets(TopicPartition(topic, p), TIMEOUT)
        ends[p] = high
        starts.append(TopicPartition(topic, p, int(millis or offset or low)))
    if millis is not None:
        starts = consumer.offsets_for_times(starts, TIMEOUT)
    starts = [s for s in starts if s.offset != OFFSET_END and s.offset < ends[s.partition]]
    left = {s.partition for s in starts}
    consumer.assign(starts)
    out = []
    while left:
        m = consumer.poll(TIMEOUT)
        if m is None or m.error():
            raise RuntimeError(f"poll: {m and m.error()}")
        headers = [f"{text(n.encode())}:{text(v)}" for n, v in m.headers() or []]
        out.append(" ".join([str(m.partition()), str(m.offset()), str(m.timestamp()[1]), text(m.key()),
                             text(m.value())] + headers))
        if m.offset() + 1 >= ends[m.partition()]:
            left.discard(m.partition())
    return out


COMMANDS = {"version": version, "create": create, "delete": delete, "list": list_topics, "describe": describe,
            "config": config, "alter": alter, "produce": produce, "consume": consume, "consume-from": consume,
            "consume-at": lambda addr, topic, offset: consume(addr, topic, offset=offset)}


def main():
    while line := sys.stdin.readline():
        command, *args = line.rstrip("\n").split(" ")
        try:
            for answer in COMMANDS[command](*args):
                print(answer)
            print("ok", flush=True)
        except Exception as e:  # the answer to any failure is one line
            print("error", repr(e).replace("\n", " "), flush=True)


main()

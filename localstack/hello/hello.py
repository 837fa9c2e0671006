"""Writes three records to a topic and reads the topic from the start. Needs confluent-kafka."""

from confluent_kafka import Consumer, Producer, TopicPartition, OFFSET_BEGINNING

BROKER = "127.0.0.1:9092"
TOPIC = "hello-python"

producer = Producer({"bootstrap.servers": BROKER, "acks": "all", "enable.idempotence": True})
for n in range(3):
    producer.produce(TOPIC, partition=0, key=f"k{n}", value=f"hello {n} from Python")
if producer.flush(30) > 0:
    raise SystemExit("not everything was acked within 30 s")

# No consumer group: the program says itself what it reads.
consumer = Consumer({"bootstrap.servers": BROKER, "group.id": "unused", "enable.auto.commit": False})
end = consumer.get_watermark_offsets(TopicPartition(TOPIC, 0), timeout=30)[1]
consumer.assign([TopicPartition(TOPIC, 0, OFFSET_BEGINNING)])
while True:
    record = consumer.poll(30)
    if record is None or record.error():
        raise SystemExit(f"nothing to read: {record and record.error()}")
    print(record.offset(), record.key().decode(), record.value().decode())
    if record.offset() == end - 1:
        break
consumer.close()

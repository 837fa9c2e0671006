package varve;

import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * Produces and reads at a steady pace with the client's default settings until a line or the end comes on standard
 * input. Records of a partition are numbered; whatever the client gives up or reads out of order is a line
 * "bad ...". At the end everything is flushed and read, and the last line is "acked N read N".
 *
 * <pre>Load BOOTSTRAP TOPIC PARTITIONS BYTES_PER_SECOND RECORD_BYTES</pre>
 */
public final class Load {
  private final String bootstrap;
  private final String topic;
  private final int partitions;
  private final AtomicLong acked = new AtomicLong();
  private final AtomicLong read = new AtomicLong();
  private volatile boolean stopped;

  private Load(String bootstrap, String topic, int partitions) {
    this.bootstrap = bootstrap;
    this.topic = topic;
    this.partitions = partitions;
  }

  public static void main(String[] args) throws Exception {
    Load load = new Load(args[0], args[1], Integer.parseInt(args[2]));
    Thread reader = new Thread(load::read);
    reader.start();
    Thread producer = new Thread(() -> load.produce(Long.parseLong(args[3]), Integer.parseInt(args[4])));
    producer.start();
    System.in.read();
    load.stopped = true;
    producer.join();
    reader.join(60_000);
    bad(reader.isAlive(), "the reader does not come to the end");
    System.out.println("acked " + load.acked + " read " + load.read);
    System.out.flush();
    System.exit(0);
  }

  private static synchronized void bad(boolean is, String what) {
    if (is) {
      System.out.println("bad " + what.replace('\n', ' '));
      System.out.flush();
    }
  }

  private static String value(int partition, long number, int bytes) {
    return String.format("%d %d ", partition, number) + "x".repeat(bytes);
  }

  private void produce(long bytesPerSecond, int bytes) {
    Map<String, Object> config = Map.of("bootstrap.servers", bootstrap);
    ByteArraySerializer s = new ByteArraySerializer();
    try (KafkaProducer<byte[], byte[]> producer = new KafkaProducer<>(config, s, s)) {
      long begun = System.nanoTime();
      long sent = 0;
      for (long number = 0; !stopped; number++) {
        for (int p = 0; p < partitions; p++) {
          byte[] value = value(p, number, bytes).getBytes(StandardCharsets.UTF_8);
          String name = p + " " + number;
          producer.send(
              new ProducerRecord<>(topic, p, null, value),
              (at, e) -> {
                bad(e != null, "record " + name + " was given up: " + e);
                acked.addAndGet(e == null ? 1 : 0);
              });
          sent += value.length;
        }
        while (!stopped && (System.nanoTime() - begun) / 1e9 * bytesPerSecond < sent) {
          Thread.sleep(1);
        }
      }
      producer.flush();
    } catch (Exception e) {
      bad(true, "the producer ended: " + e);
    }
    produced = true;
  }

  private volatile boolean produced;

  private void read() {
    Map<String, Object> config = Map.of("bootstrap.servers", bootstrap, "auto.offset.reset", "none");
    ByteArrayDeserializer d = new ByteArrayDeserializer();
    try (KafkaConsumer<byte[], byte[]> consumer = new KafkaConsumer<>(config, d, d)) {
      List<TopicPartition> all = new ArrayList<>();
      for (int p = 0; p < partitions; p++) {
        all.add(new TopicPartition(topic, p));
      }
      consumer.assign(all);
      consumer.seekToBeginning(all);
      long[] next = new long[partitions];
      while (!produced || read.get() < acked.get()) {
        for (var r : consumer.poll(Duration.ofMillis(200))) {
          String want = r.partition() + " " + next[r.partition()]++ + " ";
          String got = new String(r.value(), 0, Math.min(r.value().length, want.length()), StandardCharsets.UTF_8);
          bad(!got.equals(want), "partition " + r.partition() + ": read " + got + " at offset " + r.offset() + ", want " + want);
          read.incrementAndGet();
        }
      }
    } catch (Exception e) {
      bad(true, "the reader ended: " + e);
    }
  }
}

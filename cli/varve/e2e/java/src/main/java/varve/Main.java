package varve;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.Future;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndTimestamp;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.PartitionInfo;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.utils.AppInfoParser;

/**
 * A Kafka client that obeys lines: one process serves a whole test run, for a JVM takes longer to start than most
 * tests take. Every command ends in one line, "ok" or "error TEXT"; lines of data stand before it.
 *
 * <pre>
 * version                                               answers the version of the library
 * create BOOTSTRAP TOPIC PARTITIONS
 * delete BOOTSTRAP TOPIC
 * list BOOTSTRAP                                        answers the names of topics
 * describe BOOTSTRAP TOPIC                              answers the number of partitions
 * config BOOTSTRAP TOPIC NAME                           answers the value
 * alter BOOTSTRAP TOPIC NAME VALUE                      sets a config
 * produce BOOTSTRAP TOPIC CODEC N [PROPERTY=VALUE]...   then N records; answers N lines: OFFSET, or nothing.
 *                                                       Other clients wait for each 500 before they send more
 * consume BOOTSTRAP TOPIC                               from the beginning to the end as it is at the start
 * consume-from BOOTSTRAP TOPIC MILLIS                   likewise, from the first record at or after a time
 * consume-at BOOTSTRAP TOPIC OFFSET                     likewise, from an offset
 * end BOOTSTRAP TOPIC                                   seeks to the end; answers lines: PARTITION OFFSET
 * and what Groups has.
 *
 * record: PARTITION OFFSET MILLIS KEY VALUE NAME:VALUE...
 * Keys, values, names in base64; "~" is null.
 * </pre>
 */
public final class Main {
  private static final Duration POLL = Duration.ofMillis(200);
  private static final Base64.Encoder ENCODER = Base64.getEncoder();
  private static final Base64.Decoder DECODER = Base64.getDecoder();

  private final BufferedReader in =
      new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
  private final PrintStream out = new PrintStream(System.out, false, StandardCharsets.UTF_8);

  public static void main(String[] args) throws IOException {
    new Main().serve();
  }

  private void serve() throws IOException {
    for (String line; (line = in.readLine()) != null; ) {
      try {
        obey(line.split(" ", -1));
        out.println("ok");
      } catch (Exception e) {
        out.println("error " + String.valueOf(e).replace('\n', ' '));
      }
      out.flush();
    }
  }

  private void obey(String[] c) throws Exception {
    switch (c[0]) {
      case "create" -> create(c[1], c[2], Integer.parseInt(c[3]));
      case "produce" -> produce(c);
      case "version" -> out.println(AppInfoParser.getVersion());
      case "delete" -> delete(c[1], c[2]);
      case "list" -> list(c[1]);
      case "alter" -> alter(c[1], c[2], c[3], c[4]);
      case "consume" -> consume(c[1], c[2], KafkaConsumer::seekToBeginning);
      case "consume-from" -> consume(c[1], c[2], (k, all) -> seekToTime(k, all, Long.parseLong(c[3])));
      case "consume-at" -> consume(c[1], c[2], (k, all) -> all.forEach(tp -> k.seek(tp, Long.parseLong(c[3]))));
      case "describe" -> describe(c[1], c[2]);
      case "config" -> config(c[1], c[2], c[3]);
      case "end" -> end(c[1], c[2]);
      default -> Groups.obey(c, out);
    }
  }

  private void create(String bootstrap, String topic, int partitions) throws Exception {
    try (Admin admin = Admin.create(Map.<String, Object>of("bootstrap.servers", bootstrap))) {
      admin.createTopics(List.of(new NewTopic(topic, partitions, (short) 1))).all().get();
    }
  }

  private void delete(String bootstrap, String topic) throws Exception {
    try (Admin admin = Admin.create(Map.<String, Object>of("bootstrap.servers", bootstrap))) {
      admin.deleteTopics(List.of(topic)).all().get();
    }
  }

  private void list(String bootstrap) throws Exception {
    try (Admin admin = Admin.create(Map.<String, Object>of("bootstrap.servers", bootstrap))) {
      admin.listTopics().names().get().forEach(out::println);
    }
  }

  private void alter(String bootstrap, String topic, String name, String value) throws Exception {
    ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
    AlterConfigOp set = new AlterConfigOp(new ConfigEntry(name, value), AlterConfigOp.OpType.SET);
    try (Admin admin = Admin.create(Map.<String, Object>of("bootstrap.servers", bootstrap))) {
      admin.incrementalAlterConfigs(Map.of(resource, List.of(set))).all().get();
    }
  }

  private void describe(String bootstrap, String topic) {
    try (KafkaConsumer<byte[], byte[]> consumer = consumer(bootstrap)) {
      out.println(consumer.partitionsFor(topic).size());
    }
  }

  private void config(String bootstrap, String topic, String name) throws Exception {
    ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
    try (Admin admin = Admin.create(Map.<String, Object>of("bootstrap.servers", bootstrap))) {
      out.println(admin.describeConfigs(List.of(resource)).all().get().get(resource).get(name).value());
    }
  }

  private void produce(String[] c) throws Exception {
    List<ProducerRecord<byte[], byte[]>> records = new ArrayList<>();
    for (int i = Integer.parseInt(c[4]); i > 0; i--) {
      records.add(decode(c[2], in.readLine()));
    }
    Properties p = new Properties();
    p.put("bootstrap.servers", c[1]);
    p.put("compression.type", c[3]);
    p.put("acks", "all");
    for (int i = 5; i < c.length; i++) {
      String[] kv = c[i].split("=", 2);
      p.put(kv[0], kv[1]);
    }
    List<Future<RecordMetadata>> sent = new ArrayList<>();
    try (KafkaProducer<byte[], byte[]> producer =
        new KafkaProducer<>(p, new ByteArraySerializer(), new ByteArraySerializer())) {
      for (ProducerRecord<byte[], byte[]> r : records) {
        sent.add(producer.send(r));
      }
      producer.flush();
    }
    for (Future<RecordMetadata> f : sent) {
      out.println(f.get().offset());
    }
  }

  /** How a consumer gets to its first records. */
  private interface Seek {
    void to(KafkaConsumer<byte[], byte[]> consumer, List<TopicPartition> all);
  }

  private void consume(String bootstrap, String topic, Seek seek) throws Exception {
    try (KafkaConsumer<byte[], byte[]> consumer = consumer(bootstrap)) {
      List<TopicPartition> all = assign(consumer, topic);
      Map<TopicPartition, Long> ends = consumer.endOffsets(all);
      seek.to(consumer, all);
      while (all.stream().anyMatch(tp -> consumer.position(tp) < ends.get(tp))) {
        for (ConsumerRecord<byte[], byte[]> r : consumer.poll(POLL)) {
          out.println(encode(r));
        }
      }
    }
  }

  private static void seekToTime(
      KafkaConsumer<byte[], byte[]> consumer, List<TopicPartition> all, long from) {
    Map<TopicPartition, Long> query = new java.util.HashMap<>();
    all.forEach(tp -> query.put(tp, from));
    Map<TopicPartition, OffsetAndTimestamp> found = consumer.offsetsForTimes(query);
    for (TopicPartition tp : all) {
      OffsetAndTimestamp at = found.get(tp);
      if (at == null) {
        consumer.seekToEnd(List.of(tp));
      } else {
        consumer.seek(tp, at.offset());
      }
    }
  }

  private void end(String bootstrap, String topic) throws Exception {
    try (KafkaConsumer<byte[], byte[]> consumer = consumer(bootstrap)) {
      List<TopicPartition> all = assign(consumer, topic);
      consumer.seekToEnd(all);
      for (TopicPartition tp : all) {
        out.println(tp.partition() + " " + consumer.position(tp));
      }
    }
  }

  private static KafkaConsumer<byte[], byte[]> consumer(String bootstrap) {
    Properties p = new Properties();
    p.put("bootstrap.servers", bootstrap);
    p.put("enable.auto.commit", "false");
    p.put("auto.offset.reset", "none");
    return new KafkaConsumer<>(p, new ByteArrayDeserializer(), new ByteArrayDeserializer());
  }

  private static List<TopicPartition> assign(KafkaConsumer<byte[], byte[]> consumer, String topic) {
    List<TopicPartition> all = new ArrayList<>();
    for (PartitionInfo p : consumer.partitionsFor(topic)) {
      all.add(new TopicPartition(topic, p.partition()));
    }
    consumer.assign(all);
    return all;
  }

  private static ProducerRecord<byte[], byte[]> decode(String topic, String line) {
    String[] f = line.split(" ", -1);
    long millis = Long.parseLong(f[2]);
    ProducerRecord<byte[], byte[]> r =
        new ProducerRecord<>(topic, Integer.valueOf(f[0]), millis, bytes(f[3]), bytes(f[4]));
    for (int i = 5; i < f.length; i++) {
      String[] kv = f[i].split(":", 2);
      r.headers().add(new String(bytes(kv[0]), StandardCharsets.UTF_8), bytes(kv[1]));
    }
    return r;
  }

  private static String encode(ConsumerRecord<byte[], byte[]> r) {
    StringBuilder b = new StringBuilder();
    b.append(r.partition()).append(' ').append(r.offset()).append(' ').append(r.timestamp());
    b.append(' ').append(text(r.key())).append(' ').append(text(r.value()));
    for (Header h : r.headers()) {
      b.append(' ').append(text(h.key().getBytes(StandardCharsets.UTF_8)));
      b.append(':').append(text(h.value()));
    }
    return b.toString();
  }

  private static byte[] bytes(String s) {
    return s.equals("~") ? null : DECODER.decode(s);
  }

  private static String text(byte[] b) {
    return b == null ? "~" : ENCODER.encodeToString(b);
  }
}

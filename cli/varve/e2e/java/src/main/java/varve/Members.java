package varve;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.BitSet;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.regex.Pattern;
import org.apache.kafka.clients.consumer.CommitFailedException;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.RebalanceInProgressException;
import org.apache.kafka.common.errors.RetriableException;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/**
 * Members of consumer groups that read and commit what they read, each in a thread of its own. Obeys lines as Main does.
 *
 * <pre>
 * join NAME BOOTSTRAP GROUP TOPIC [PROPERTY=VALUE]...  a topic "^..." is a regular expression
 * leave NAME                                           answers once it has left; an error if it has failed
 * state                                                answers lines: NAME PARTITIONS REBALANCES COMMITS ERROR
 * seen                                                 answers lines: TOPIC PARTITION OFFSET, the first that no member read
 * </pre>
 */
public final class Members {
  private static final Map<TopicPartition, BitSet> SEEN = new ConcurrentHashMap<>();
  private static final Map<String, Member> MEMBERS = new TreeMap<>();

  private Members() {}

  public static void main(String[] args) throws IOException {
    BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    for (String line; (line = in.readLine()) != null; ) {
      try {
        obey(line.split(" ", -1));
        System.out.println("ok");
      } catch (Exception e) {
        System.out.println("error " + String.valueOf(e).replace('\n', ' '));
      }
      System.out.flush();
    }
    System.exit(0);
  }

  private static void obey(String[] c) throws Exception {
    switch (c[0]) {
      case "join" -> {
        Member m = new Member(c);
        MEMBERS.put(c[1], m);
        m.start();
      }
      case "leave" -> {
        Member m = MEMBERS.remove(c[1]);
        m.stopped = true;
        m.join();
        if (m.error != null) {
          throw m.error;
        }
      }
      case "state" -> MEMBERS.forEach((name, m) ->
          System.out.println(name + " " + m.partitions + " " + m.rebalances + " " + m.commits + " " + m.error));
      case "seen" -> SEEN.forEach((tp, set) -> {
        synchronized (set) {
          System.out.println(tp.topic() + " " + tp.partition() + " " + set.nextClearBit(0));
        }
      });
      default -> throw new IllegalArgumentException("unknown command " + c[0]);
    }
  }

  /** One member. */
  private static final class Member extends Thread implements ConsumerRebalanceListener {
    private final String topic;
    private final Properties properties = new Properties();
    private final AtomicInteger partitions = new AtomicInteger();
    private final AtomicInteger rebalances = new AtomicInteger();
    private final AtomicInteger commits = new AtomicInteger();
    private volatile boolean stopped;
    private volatile Exception error;

    Member(String[] c) {
      topic = c[4];
      properties.put("bootstrap.servers", c[2]);
      properties.put("group.id", c[3]);
      properties.put("enable.auto.commit", "false");
      properties.put("auto.offset.reset", "earliest");
      for (int i = 5; i < c.length; i++) {
        String[] kv = c[i].split("=", 2);
        properties.put(kv[0], kv[1]);
      }
      setDaemon(true);
    }

    @Override
    public void run() {
      ByteArrayDeserializer bytes = new ByteArrayDeserializer();
      try (KafkaConsumer<byte[], byte[]> consumer = new KafkaConsumer<>(properties, bytes, bytes)) {
        subscribe(consumer);
        while (!stopped) {
          ConsumerRecords<byte[], byte[]> records = consumer.poll(Duration.ofMillis(100));
          partitions.set(consumer.assignment().size());
          records.forEach(Member::note);
          if (!records.isEmpty()) {
            commit(consumer);
          }
        }
      } catch (Exception e) {
        error = e;
      }
    }

    /** The server resolves the expressions of the newer protocol, the client those of the classic one. */
    private void subscribe(KafkaConsumer<byte[], byte[]> consumer) throws Exception {
      if (!topic.startsWith("^")) {
        consumer.subscribe(List.of(topic), this);
      } else if (!"consumer".equals(properties.get("group.protocol"))) {
        consumer.subscribe(Pattern.compile(topic), this);
      } else {
        Class<?> re2 = Class.forName("org.apache.kafka.clients.consumer.SubscriptionPattern"); // of 4.0; this compiles with older ones
        consumer.getClass().getMethod("subscribe", re2, ConsumerRebalanceListener.class)
            .invoke(consumer, re2.getConstructor(String.class).newInstance(topic), this);
      }
    }

    /** Whoever lost its partitions meanwhile leaves the commit to the next who has them. */
    private void commit(KafkaConsumer<byte[], byte[]> consumer) {
      try {
        consumer.commitSync();
        commits.incrementAndGet();
      } catch (RetriableException | CommitFailedException | RebalanceInProgressException e) {
        return;
      }
    }

    private static void note(ConsumerRecord<byte[], byte[]> r) {
      BitSet set = SEEN.computeIfAbsent(new TopicPartition(r.topic(), r.partition()), tp -> new BitSet());
      synchronized (set) {
        set.set((int) r.offset());
      }
    }

    @Override
    public void onPartitionsAssigned(Collection<TopicPartition> all) {
      if (!all.isEmpty()) {
        rebalances.incrementAndGet();
      }
    }

    @Override
    public void onPartitionsRevoked(Collection<TopicPartition> all) {
      if (!all.isEmpty()) {
        rebalances.incrementAndGet();
      }
    }
  }
}

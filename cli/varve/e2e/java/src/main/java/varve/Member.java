package varve;

import java.io.IOException;
import java.time.Duration;
import java.util.Collection;
import java.util.List;
import java.util.Properties;
import java.util.stream.Collectors;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.WakeupException;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/**
 * A member of a group: java varve.Member BOOTSTRAP TOPIC GROUP [WORD=VALUE]..., as the members of all clients are called. It commits
 * what it has read, leaves at the end of its standard input, and says in lines what happens to it.
 *
 * <pre>
 * instance=ID                       a static member
 * strategy=eager|cooperative|consumer
 * session=MILLIS                    session time-out; a tenth of it is between heartbeats
 *
 * assigned P,P...   revoked P,P...  partitions came, or went; "revoked *": all
 * read P FROM TO                    records of a partition were read, from an offset to another
 * uncommitted WHY                   a commit failed; the records are committed with the next ones
 * again WHY                         something failed and is repeated
 * left                              the last line
 * </pre>
 */
public final class Member {
  private static final Duration POLL = Duration.ofMillis(200);

  private volatile boolean over;

  public static void main(String[] args) throws Exception {
    new Member().run(args);
  }

  private void run(String[] args) {
    try (KafkaConsumer<byte[], byte[]> consumer = new KafkaConsumer<>(settings(args), new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
      leaveWithInput(consumer);
      consumer.subscribe(List.of(args[1]), new Listener());
      while (!over) {
        step(consumer);
      }
    }
    say("left");
  }

  private static Properties settings(String[] args) {
    Properties p = new Properties();
    p.put("bootstrap.servers", args[0]);
    p.put("group.id", args[2]);
    p.put("auto.offset.reset", "earliest");
    p.put("enable.auto.commit", "false");
    p.put("fetch.max.wait.ms", "200");
    p.put("partition.assignment.strategy", "org.apache.kafka.clients.consumer.RangeAssignor");
    for (int i = 3; i < args.length; i++) {
      String[] word = args[i].split("=", 2);
      switch (word[0]) {
        case "instance" -> p.put("group.instance.id", word[1]);
        case "strategy" -> strategy(p, word[1]);
        case "session" -> {
          p.put("session.timeout.ms", word[1]);
          p.put("heartbeat.interval.ms", String.valueOf(Integer.parseInt(word[1]) / 10));
        }
        default -> throw new IllegalArgumentException("unknown word " + word[0]);
      }
    }
    if ("consumer".equals(p.get("group.protocol"))) { // the server says these
      p.remove("session.timeout.ms");
      p.remove("heartbeat.interval.ms");
      p.remove("partition.assignment.strategy");
    }
    return p;
  }

  private static void strategy(Properties p, String strategy) {
    if ("cooperative".equals(strategy)) {
      p.put("partition.assignment.strategy", "org.apache.kafka.clients.consumer.CooperativeStickyAssignor");
    } else if ("consumer".equals(strategy)) {
      p.put("group.protocol", "consumer");
    }
  }

  private void leaveWithInput(KafkaConsumer<?, ?> consumer) {
    Thread reader = new Thread(() -> {
      try {
        System.in.transferTo(java.io.OutputStream.nullOutputStream());
      } catch (IOException e) {
        say("bad " + e);
      }
      over = true;
      consumer.wakeup();
    });
    reader.setDaemon(true);
    reader.start();
  }

  private void step(KafkaConsumer<byte[], byte[]> consumer) {
    try {
      ConsumerRecords<byte[], byte[]> got = consumer.poll(POLL);
      for (TopicPartition tp : got.partitions()) {
        List<ConsumerRecord<byte[], byte[]>> records = got.records(tp);
        say("read " + tp.partition() + " " + records.get(0).offset() + " " + records.get(records.size() - 1).offset());
      }
      if (!got.isEmpty()) {
        consumer.commitSync();
      }
    } catch (WakeupException e) {
      // it leaves
    } catch (KafkaException e) {
      say("uncommitted " + String.valueOf(e).replace('\n', ' '));
    }
  }

  private static synchronized void say(String line) {
    System.out.println(line);
    System.out.flush();
  }

  private static final class Listener implements ConsumerRebalanceListener {
    @Override
    public void onPartitionsAssigned(Collection<TopicPartition> partitions) {
      say("assigned " + list(partitions));
    }

    @Override
    public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
      say("revoked " + list(partitions));
    }

    private static String list(Collection<TopicPartition> partitions) {
      return partitions.stream().map(tp -> String.valueOf(tp.partition())).sorted().collect(Collectors.joining(","));
    }
  }
}

import java.time.Duration;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/** Writes three records to a topic and reads the topic from the start. */
public class Hello {
  public static void main(String[] args) throws Exception {
    var partition = new TopicPartition("hello-java", 0);
    Map<String, Object> config = Map.of("bootstrap.servers", "127.0.0.1:9092");
    try (var producer = new KafkaProducer<>(config, new StringSerializer(), new StringSerializer())) {
      for (int n = 0; n < 3; n++) {
        producer.send(new ProducerRecord<>(partition.topic(), 0, "k" + n, "hello " + n + " from Java")).get();
      }
    }
    // No consumer group: the program says itself what it reads.
    try (var consumer = new KafkaConsumer<>(config, new StringDeserializer(), new StringDeserializer())) {
      consumer.assign(List.of(partition));
      consumer.seekToBeginning(List.of(partition));
      long end = consumer.endOffsets(List.of(partition)).get(partition);
      while (consumer.position(partition) < end) {
        for (var record : consumer.poll(Duration.ofSeconds(1))) {
          System.out.println(record.offset() + " " + record.key() + " " + record.value());
        }
      }
    }
  }
}

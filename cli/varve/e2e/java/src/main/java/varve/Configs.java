package varve;

import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ExecutionException;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.Config;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.DescribeConfigsOptions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.ScramCredentialInfo;
import org.apache.kafka.clients.admin.ScramMechanism;
import org.apache.kafka.clients.admin.UserScramCredentialUpsertion;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.serialization.StringSerializer;

/** What admin tools do with configs: java varve.Configs HOST:PORT TOPIC, which it makes. One line for each answer; the test knows them all. */
public final class Configs {
  public static void main(String[] args) throws Exception {
    try (Admin admin = Admin.create(Map.of("bootstrap.servers", args[0]))) {
      admin.createTopics(Set.of(new NewTopic(args[1], 1, (short) 1).configs(Map.of("cleanup.policy", "compact")))).all().get();
      ConfigResource topic = new ConfigResource(ConfigResource.Type.TOPIC, args[1]);
      String node = admin.describeCluster().nodes().get().iterator().next().idString();
      ConfigResource broker = new ConfigResource(ConfigResource.Type.BROKER, node);
      tell("set", admin.incrementalAlterConfigs(Map.of(topic, List.of(set("retention.ms", "7"), op("cleanup.policy", "delete", AlterConfigOp.OpType.APPEND)))).all());
      show(admin, topic, "retention.ms", "cleanup.policy", "max.message.bytes", "flush.ms");
      tell("delete", admin.incrementalAlterConfigs(Map.of(topic, List.of(op("retention.ms", "", AlterConfigOp.OpType.DELETE)))).all());
      show(admin, topic, "retention.ms");
      tell("unknown", admin.incrementalAlterConfigs(Map.of(topic, List.of(set("retention.mss", "7")))).all());
      tell("value", admin.incrementalAlterConfigs(Map.of(topic, List.of(set("retention.ms", "-2")))).all());
      tell("codec", admin.incrementalAlterConfigs(Map.of(topic, List.of(set("compression.type", "gzip")))).all());
      show(admin, broker, "num.io.threads", "log.retention.hours", "ssl.key.password");
      tell("broker", admin.incrementalAlterConfigs(Map.of(broker, List.of(set("num.io.threads", "9")))).all());
      System.out.println("defaults " + describe(admin, new ConfigResource(ConfigResource.Type.BROKER, "")).entries().size());
      show(admin, new ConfigResource(ConfigResource.Type.BROKER_LOGGER, node), "root");
      System.out.println("directories " + admin.describeLogDirs(List.of(Integer.parseInt(node))).allDescriptions().get().values().iterator().next().keySet());
      tell("scram", admin.alterUserScramCredentials(List.of(new UserScramCredentialUpsertion("u", new ScramCredentialInfo(ScramMechanism.SCRAM_SHA_256, 4096), "x"))).all());
      System.out.println("features " + admin.describeFeatures().featureMetadata().get().finalizedFeatures().keySet());
      keyless(args[0], args[1]);
    }
  }

  private static void keyless(String server, String topic) throws InterruptedException {
    try (KafkaProducer<String, String> p = new KafkaProducer<>(Map.of("bootstrap.servers", server), new StringSerializer(), new StringSerializer())) {
      tell("keyed", p.send(new ProducerRecord<>(topic, "k", "v")));
      tell("keyless", p.send(new ProducerRecord<>(topic, null, "v")));
    }
  }

  private static AlterConfigOp set(String name, String value) {
    return op(name, value, AlterConfigOp.OpType.SET);
  }

  private static AlterConfigOp op(String name, String value, AlterConfigOp.OpType type) {
    return new AlterConfigOp(new ConfigEntry(name, value), type);
  }

  private static Config describe(Admin admin, ConfigResource r) throws Exception {
    return admin.describeConfigs(Set.of(r), new DescribeConfigsOptions().includeSynonyms(true).includeDocumentation(true)).all().get().get(r);
  }

  private static void show(Admin admin, ConfigResource r, String... names) throws Exception {
    Config all = describe(admin, r);
    for (String name : names) {
      ConfigEntry e = all.get(name);
      System.out.println(name + " " + e.value() + " " + e.type() + " " + e.source() + " sensitive=" + e.isSensitive() + " synonyms=" + e.synonyms().size() + " " + e.documentation());
    }
  }

  private static void tell(String what, java.util.concurrent.Future<?> done) throws InterruptedException {
    try {
      done.get();
      System.out.println(what + " done");
    } catch (ExecutionException e) {
      System.out.println(what + " " + e.getCause().getClass().getSimpleName() + ": " + e.getCause().getMessage());
    }
  }
}

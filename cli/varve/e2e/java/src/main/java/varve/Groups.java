package varve;

import java.io.PrintStream;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import java.util.stream.Collectors;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.ConsumerGroupDescription;
import org.apache.kafka.clients.admin.MemberDescription;
import org.apache.kafka.clients.admin.MemberToRemove;
import org.apache.kafka.clients.admin.RemoveMembersFromConsumerGroupOptions;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.TopicPartition;

/**
 * What an administrator does with groups. The same commands stand in all clients that can.
 *
 * <pre>
 * groups BOOTSTRAP                                 answers their names
 * group BOOTSTRAP GROUP                            answers its state, then a line for each member: INSTANCE PARTITION,...
 * committed BOOTSTRAP GROUP                        answers lines: TOPIC PARTITION OFFSET
 * commit BOOTSTRAP GROUP TOPIC PARTITION OFFSET    of a group without members
 * uncommit BOOTSTRAP GROUP TOPIC PARTITION         forgets an offset
 * expel BOOTSTRAP GROUP INSTANCE                   takes a static member out
 * forget BOOTSTRAP GROUP                           deletes the group
 * </pre>
 */
final class Groups {
  private Groups() {}

  @SuppressWarnings("deprecation") // of names that older clients have, too
  static void obey(String[] c, PrintStream out) throws Exception {
    Properties p = new Properties();
    p.put("bootstrap.servers", c[1]);
    try (Admin admin = Admin.create(p)) {
      switch (c[0]) {
        case "groups" -> admin.listConsumerGroups().all().get().forEach(g -> out.println(g.groupId()));
        case "group" -> tell(admin.describeConsumerGroups(List.of(c[2])).all().get().get(c[2]), out);
        case "committed" -> admin.listConsumerGroupOffsets(c[2]).partitionsToOffsetAndMetadata().get()
            .forEach((tp, o) -> out.println(tp.topic() + " " + tp.partition() + " " + o.offset()));
        case "commit" -> admin.alterConsumerGroupOffsets(c[2], Map.of(at(c), new OffsetAndMetadata(Long.parseLong(c[5])))).all().get();
        case "uncommit" -> admin.deleteConsumerGroupOffsets(c[2], Set.of(at(c))).all().get();
        case "expel" -> admin.removeMembersFromConsumerGroup(c[2],
            new RemoveMembersFromConsumerGroupOptions(Set.of(new MemberToRemove(c[3])))).all().get();
        case "forget" -> admin.deleteConsumerGroups(List.of(c[2])).all().get();
        default -> throw new IllegalArgumentException("unknown command " + c[0]);
      }
    }
  }

  private static TopicPartition at(String[] c) {
    return new TopicPartition(c[3], Integer.parseInt(c[4]));
  }

  @SuppressWarnings("deprecation")
  private static void tell(ConsumerGroupDescription g, PrintStream out) {
    out.println(g.state());
    for (MemberDescription m : g.members()) {
      out.println(m.groupInstanceId().orElse("~") + " " + m.assignment().topicPartitions().stream()
          .map(TopicPartition::partition).sorted().map(String::valueOf).collect(Collectors.joining(",")));
    }
  }
}

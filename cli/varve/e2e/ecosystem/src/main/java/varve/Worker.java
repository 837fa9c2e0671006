package varve;

import org.apache.kafka.connect.cli.ConnectDistributed;

/** A distributed worker of Kafka Connect; the argument is its file of properties. It stops as at SIGTERM when standard input ends. */
public final class Worker {
  private Worker() {}

  public static void main(String[] args) throws Exception {
    Thread worker = new Thread(() -> ConnectDistributed.main(args), "worker");
    worker.setDaemon(true);
    worker.start();
    while (System.in.read() >= 0) {}
    System.exit(0);
  }
}

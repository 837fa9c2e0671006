package varve;

import java.io.BufferedReader;
import java.io.ByteArrayOutputStream;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import org.apache.kafka.common.utils.Exit;
import org.apache.kafka.tools.consumer.group.ConsumerGroupCommand;

/**
 * Runs kafka-consumer-groups, once for each line of standard input: its arguments, with blanks between them. What the tool prints is printed, then "ok" or
 * "error STATUS TEXT" if it asked for the end of the process.
 */
public final class Tools {
  private Tools() {}

  private static final class Ended extends RuntimeException {
    Ended(int status, String text) {
      super(status + " " + text);
    }
  }

  public static void main(String[] args) throws Exception {
    Exit.setExitProcedure(
        (status, text) -> {
          throw new Ended(status, String.valueOf(text));
        });
    PrintStream out = System.out;
    BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    for (String line; (line = in.readLine()) != null; out.flush()) {
      ByteArrayOutputStream printed = new ByteArrayOutputStream();
      System.setOut(new PrintStream(printed, true, StandardCharsets.UTF_8));
      System.setErr(System.out);
      String end = "ok";
      try {
        ConsumerGroupCommand.main(line.split(" "));
      } catch (Ended e) {
        end = "error " + e.getMessage();
      }
      String text = printed.toString(StandardCharsets.UTF_8);
      if (!end.equals("ok")) {
        end += " " + text.replace('\n', ' ');
      } else {
        out.print(text.isEmpty() || text.endsWith("\n") ? text : text + "\n");
      }
      out.println(end);
    }
  }
}

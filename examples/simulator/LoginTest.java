// Tests a back end with the simulator in place of WeChat: JUnit 5, Java 17. Here wxmint is the back end; start yours instead.
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Pattern;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class LoginTest {
  private static final HttpClient HTTP = HttpClient.newHttpClient();
  private static final List<Process> PROCESSES = new ArrayList<>();
  private static String wechat;
  private static String backend;

  @BeforeAll
  static void startBoth(@TempDir Path folder) throws Exception {
    wechat = start(folder, "listens on (\\S+)", "simulator", "--listen", "127.0.0.1:0");
    wxmint(folder, "init", "--demo").start().waitFor();
    backend = "http://" + start(folder, "\"public\":\"([^\"]+)\"", "serve");
  }

  @AfterAll
  static void stopBoth() throws Exception {
    for (Process process : PROCESSES) {
      process.destroy();
      process.waitFor();
    }
  }

  private static ProcessBuilder wxmint(Path folder, String... words) {
    List<String> command = new ArrayList<>(List.of(words));
    command.add(0, "wxmint");
    ProcessBuilder builder = new ProcessBuilder(command).directory(folder.toFile()).redirectErrorStream(true);
    builder.environment().put("WXMINT_LISTEN", "127.0.0.1:0");
    builder.environment().put("WXMINT_ADMIN_LISTEN", "127.0.0.1:0");
    if (wechat != null) builder.environment().put("WXMINT_WECHAT_URL", wechat);
    return builder;
  }

  /** Runs wxmint until the tests end, and returns what `says` finds in its output. */
  private static String start(Path folder, String says, String... words) throws IOException {
    Process process = wxmint(folder, words).start();
    PROCESSES.add(process);
    StringBuilder output = new StringBuilder();
    for (String line; (line = process.inputReader().readLine()) != null; output.append(line).append('\n')) {
      var found = Pattern.compile(says).matcher(line);
      if (found.find()) return found.group(1);
    }
    throw new IOException("wxmint " + words[0] + " has ended: " + output);
  }

  private static HttpResponse<String> send(String method, String url, String json) throws Exception {
    var request = HttpRequest.newBuilder(URI.create(url)).header("Content-Type", "application/json");
    var body = HttpRequest.BodyPublishers.ofString(json);
    return HTTP.send(request.method(method, body).build(), HttpResponse.BodyHandlers.ofString());
  }

  /** Sends the back end a code of wx.login, as the mini program does. */
  private static HttpResponse<String> logIn(String person) throws Exception {
    var codes = send("POST", wechat + "/_simulator/codes", "{\"person\":\"" + person + "\"}").body();
    return send("POST", backend + "/login", "{\"code\":\"" + text(codes, "codes") + "\"}");
  }

  private static String text(String json, String member) {
    var found = Pattern.compile("\"" + member + "\":\\[?\"([^\"]+)\"").matcher(json);
    assertTrue(found.find(), json);
    return found.group(1);
  }

  @Test
  void aPersonIsTheSameUserAtEachLogin() throws Exception {
    var first = logIn("lin");
    assertEquals(200, first.statusCode(), first.body());
    assertEquals(text(first.body(), "user_id"), text(logIn("lin").body(), "user_id"));
  }

  @Test
  void aLoginThatWeChatLimitsIs429() throws Exception {
    send("PUT", wechat + "/_simulator/faults", "{\"faults\":[{\"kind\":\"errcode\",\"errcode\":45011,\"times\":1}]}");
    var refused = logIn("mei");
    assertEquals(429, refused.statusCode(), refused.body());
    assertEquals("rate_limited", text(refused.body(), "code"));
  }
}

package com.example.orders;

import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;

import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

import org.springframework.boot.SpringApplication;
import org.springframework.context.ConfigurableApplicationContext;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

/** A service between two logins, before a wxmint of the test's own that logs people in and publishes no keys. */
class MovingTest {

	private static final String SECRET = "an old secret";
	private static final List<String> ASKED = new ArrayList<>();
	private static HttpServer wxmint;
	private static ConfigurableApplicationContext orders;
	private final long now = System.currentTimeMillis() / 1000;

	@BeforeAll
	static void start() throws IOException {
		wxmint = HttpServer.create(new InetSocketAddress("127.0.0.1", 0), 0);
		wxmint.createContext("/", (exchange) -> answer(exchange, 503, "{}"));
		wxmint.createContext("/login", (exchange) -> {
			String asked = new String(exchange.getRequestBody().readAllBytes(), StandardCharsets.UTF_8);
			ASKED.add(exchange.getRequestHeaders().getFirst("X-Forwarded-For") + " " + asked);
			boolean good = asked.contains("\"good\"");
			answer(exchange, good ? 200 : 400, good ? "{\"access_token\":\"a.b.c\",\"user_id\":\"7\",\"expires_in\":60}"
					: "{\"code\":\"invalid_code\",\"detail\":\"The code is not valid.\",\"status\":400}");
		});
		wxmint.start();
		String issuer = "http://127.0.0.1:" + wxmint.getAddress().getPort();
		orders = SpringApplication.run(OrdersApplication.class, "--server.port=0", "--wxmint.issuer=" + issuer,
				"--wxmint.audience=" + issuer, "--old.secret=" + SECRET, "--old.until=2999-01-01T00:00:00Z", "--appid=wx1",
				"--login.at-wxmint=true");
	}

	@AfterAll
	static void stop() {
		orders.close();
		wxmint.stop(0);
	}

	@Test
	void theSecretAloneJudgesOldTokensWhileThereAreNoKeys() throws Exception {
		String good = old("{\"alg\":\"HS256\"}", this.now + 60);
		HttpResponse<String> answer = orders(good);
		assertEquals(200, answer.statusCode());
		assertTrue(answer.body().contains("\"7\"") && answer.body().contains("\"wx1\""), answer.body());
		assertEquals(401, orders(old("{\"alg\":\"HS256\"}", this.now - 1)).statusCode());
		assertEquals(401, orders(old("{\"alg\":\"ES256\"}", this.now + 60)).statusCode());
		assertEquals(401, orders(good.substring(0, good.lastIndexOf('.') + 1)).statusCode());
		HttpResponse<String> named = orders(old("{\"alg\":\"HS256\",\"kid\":\"wxmint's\"}", this.now + 60));
		assertEquals(503, named.statusCode(), "the secret judges no token that names a key");
		assertEquals("5", named.headers().firstValue("Retry-After").orElse(""));
	}

	@Test
	void theLoginIsWxmintsUnderTheNamesThatThePagesRead() throws Exception {
		HttpResponse<String> answer = logIn("{\"code\":\"good\"}");
		assertEquals(200, answer.statusCode());
		assertTrue(answer.body().contains("\"token\":\"a.b.c\"") && answer.body().contains("\"userId\":\"7\""), answer.body());
		assertEquals("198.51.100.7, 127.0.0.1 {\"code\":\"good\",\"appid\":\"wx1\"}", ASKED.get(ASKED.size() - 1));
		HttpResponse<String> refused = logIn("{\"code\":\"spent\"}");
		assertEquals(400, refused.statusCode());
		assertTrue(refused.body().contains("\"code\":\"invalid_code\""), refused.body());
		assertEquals(400, logIn("no JSON").statusCode(), "not 401, after which pages log in again");
	}

	/** With an expired token, as a page may send it, and through a proxy. */
	private HttpResponse<String> logIn(String body) throws Exception {
		HttpRequest.Builder request = request("/login", old("{\"alg\":\"HS256\"}", this.now - 1));
		request.header("X-Forwarded-For", "198.51.100.7").header("Content-Type", "application/json");
		return HttpClient.newHttpClient().send(request.POST(BodyPublishers.ofString(body)).build(), BodyHandlers.ofString());
	}

	private static HttpResponse<String> orders(String token) throws Exception {
		return HttpClient.newHttpClient().send(request("/orders", token).build(), BodyHandlers.ofString());
	}

	private static HttpRequest.Builder request(String path, String token) {
		String port = orders.getEnvironment().getProperty("local.server.port");
		return HttpRequest.newBuilder(URI.create("http://127.0.0.1:" + port + path)).header("Authorization", "Bearer " + token);
	}

	private static String old(String header, long exp) throws Exception {
		String signed = base64(header.getBytes(StandardCharsets.UTF_8)) + "."
				+ base64(("{\"uid\":7,\"exp\":" + exp + "}").getBytes(StandardCharsets.UTF_8));
		Mac mac = Mac.getInstance("HmacSHA256");
		mac.init(new SecretKeySpec(SECRET.getBytes(StandardCharsets.UTF_8), "HmacSHA256"));
		return signed + "." + base64(mac.doFinal(signed.getBytes(StandardCharsets.UTF_8)));
	}

	private static String base64(byte[] bytes) {
		return Base64.getUrlEncoder().withoutPadding().encodeToString(bytes);
	}

	private static void answer(HttpExchange exchange, int status, String text) throws IOException {
		byte[] body = text.getBytes(StandardCharsets.UTF_8);
		exchange.getResponseHeaders().set("Content-Type", status < 300 ? "application/json" : "application/problem+json");
		exchange.sendResponseHeaders(status, body.length);
		exchange.getResponseBody().write(body);
		exchange.close();
	}

}

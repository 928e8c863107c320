package com.example.orders;

import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.Arrays;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.atomic.AtomicInteger;

import com.nimbusds.jose.JOSEException;
import com.nimbusds.jose.JOSEObjectType;
import com.nimbusds.jose.JWSAlgorithm;
import com.nimbusds.jose.JWSHeader;
import com.nimbusds.jose.JWSObject;
import com.nimbusds.jose.Payload;
import com.nimbusds.jose.crypto.ECDSASigner;
import com.nimbusds.jose.crypto.MACSigner;
import com.nimbusds.jose.jwk.Curve;
import com.nimbusds.jose.jwk.ECKey;
import com.nimbusds.jose.jwk.KeyUse;
import com.nimbusds.jose.jwk.gen.ECKeyGenerator;
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

import org.springframework.boot.SpringApplication;
import org.springframework.context.ConfigurableApplicationContext;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

/** The whole API before an issuer of the test's own, as far as a team wants to see that its own changes keep it safe. */
class OrdersTest {

	private static final AtomicInteger SETS_GIVEN = new AtomicInteger();
	private static ECKey key;
	private static ECKey foreign;
	private static HttpServer wxmint;
	private static String issuer;
	private static ConfigurableApplicationContext orders;
	private final long now = System.currentTimeMillis() / 1000;

	@BeforeAll
	static void start() throws Exception {
		key = new ECKeyGenerator(Curve.P_256).algorithm(JWSAlgorithm.ES256).keyUse(KeyUse.SIGNATURE)
			.keyIDFromThumbprint(true).generate();
		foreign = new ECKeyGenerator(Curve.P_256).keyID("unheard-of").generate();
		wxmint = HttpServer.create(new InetSocketAddress("127.0.0.1", 0), 0);
		issuer = "http://127.0.0.1:" + wxmint.getAddress().getPort();
		wxmint.createContext("/.well-known/jwks.json", (exchange) -> {
			SETS_GIVEN.incrementAndGet();
			answer(exchange, "{\"keys\":[" + key.toPublicJWK().toJSONString() + "]}");
		});
		wxmint.createContext("/revocations", (exchange) -> answer(exchange, page()));
		wxmint.start();
		orders = SpringApplication.run(OrdersApplication.class, "--server.port=0", "--wxmint.issuer=" + issuer,
				"--wxmint.audience=" + issuer);
		for (int tries = 0; orders.getBean(Revocations.class).unavailable() && tries < 200; tries++) {
			Thread.sleep(50);
		}
	}

	@AfterAll
	static void stop() {
		orders.close();
		wxmint.stop(0);
	}

	@Test
	void takesATokenAndKnowsWhose() throws Exception {
		HttpResponse<String> answer = ask("Bearer " + token(Map.of()));
		assertEquals(200, answer.statusCode());
		assertTrue(answer.body().contains("\"lin\""), answer.body());
	}

	@Test
	void asksForATokenWhereThereIsNone() throws Exception {
		HttpResponse<String> answer = ask(null);
		assertEquals(401, answer.statusCode());
		assertTrue(answer.headers().firstValue("WWW-Authenticate").orElse("").startsWith("Bearer"));
	}

	@Test
	void refusesATokenThatIsWrongInOneThing() throws Exception {
		for (Map<String, Object> wrong : List.<Map<String, Object>>of(Map.of("iss", issuer + ".example"),
				Map.of("aud", "https://other.example"), Map.of("exp", this.now - 61), Map.of("iat", this.now + 120),
				Map.of("nbf", this.now + 120), Map.of("client_id", 1), Map.of("sub", "was-ended"))) {
			assertEquals(401, ask("Bearer " + token(wrong)).statusCode(), wrong.toString());
		}
	}

	@Test
	void allowsClocksAMinute() throws Exception {
		assertEquals(200, ask("Bearer " + token(Map.of("iat", this.now + 40, "exp", this.now + 100))).statusCode());
		assertEquals(200, ask("Bearer " + token(Map.of("iat", this.now - 100, "exp", this.now - 30))).statusCode());
	}

	@Test
	void refusesAnotherTypeAndAnotherAlgorithm() throws Exception {
		assertEquals(401, ask("Bearer " + signed(key, "JWT", claims(Map.of()))).statusCode());
		assertEquals(401, ask("Bearer " + signed(key, "revocations+jwt", claims(Map.of()))).statusCode());
		JWSHeader hs256 = new JWSHeader.Builder(JWSAlgorithm.HS256).keyID(key.getKeyID())
			.type(new JOSEObjectType("at+jwt")).build();
		JWSObject token = new JWSObject(hs256, new Payload(claims(Map.of())));
		token.sign(new MACSigner(key.toECPublicKey().getEncoded()));
		assertEquals(401, ask("Bearer " + token.serialize()).statusCode());
	}

	@Test
	void noStrangerMakesItFetchKeys() throws Exception {
		int before = SETS_GIVEN.get();
		for (int i = 0; i < 20; i++) {
			assertEquals(401, ask("Bearer " + signed(foreign, "at+jwt", claims(Map.of()))).statusCode());
		}
		assertEquals(before, SETS_GIVEN.get());
	}

	private static HttpResponse<String> ask(String authorization) throws Exception {
		String port = orders.getEnvironment().getProperty("local.server.port");
		HttpRequest.Builder request = HttpRequest.newBuilder(URI.create("http://127.0.0.1:" + port + "/orders"));
		if (authorization != null) {
			request.header("Authorization", authorization);
		}
		return HttpClient.newHttpClient().send(request.build(), BodyHandlers.ofString());
	}

	private String token(Map<String, Object> instead) throws JOSEException {
		return signed(key, "at+jwt", claims(instead));
	}

	private Map<String, Object> claims(Map<String, Object> instead) {
		Map<String, Object> claims = new TreeMap<>(Map.of("iss", issuer, "aud", issuer, "sub", "lin", "client_id", "wx1",
				"iat", this.now, "exp", this.now + 600, "jti", "1"));
		claims.putAll(instead);
		return claims;
	}

	/** The user was-ended has no valid tokens; H(sub) as docs/revocation.md has it. */
	private static String page() {
		try {
			byte[] hash = MessageDigest.getInstance("SHA-256").digest((issuer + "\0was-ended").getBytes(StandardCharsets.UTF_8));
			String name = Base64.getUrlEncoder().withoutPadding().encodeToString(Arrays.copyOf(hash, 12));
			long now = System.currentTimeMillis() / 1000;
			return signed(key, "revocations+jwt", Map.of("iss", issuer, "iat", now, "exp", now + 300, "after", "", "cursor", "1",
					"more", false, "keep", 90_000, "ended", List.of(List.of("sub", name, now + 600))));
		}
		catch (NoSuchAlgorithmException | JOSEException e) {
			throw new IllegalStateException(e);
		}
	}

	private static String signed(ECKey by, String type, Map<String, Object> claims) throws JOSEException {
		JWSHeader header = new JWSHeader.Builder(JWSAlgorithm.ES256).keyID(by.getKeyID()).type(new JOSEObjectType(type)).build();
		JWSObject token = new JWSObject(header, new Payload(claims));
		token.sign(new ECDSASigner(by));
		return token.serialize();
	}

	private static void answer(HttpExchange exchange, String text) throws IOException {
		byte[] body = text.getBytes(StandardCharsets.UTF_8);
		exchange.sendResponseHeaders(200, body.length);
		exchange.getResponseBody().write(body);
		exchange.close();
	}

}

package dev.wxmint.spring;

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
import java.util.ArrayList;
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
import com.nimbusds.jose.util.Base64URL;
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.EnableAutoConfiguration;
import org.springframework.context.ConfigurableApplicationContext;
import org.springframework.core.env.MapPropertySource;
import org.springframework.core.env.StandardEnvironment;
import org.springframework.security.core.annotation.AuthenticationPrincipal;
import org.springframework.security.oauth2.jwt.BadJwtException;
import org.springframework.security.oauth2.jwt.Jwt;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.RestController;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

/** An API for servlets and one for WebFlux, with the chains that Spring Boot makes, before an issuer of the test's own. */
class SpringTest {

	@RestController
	@EnableAutoConfiguration
	static class Orders {

		@GetMapping("/orders")
		String orders(@AuthenticationPrincipal Jwt jwt) {
			return jwt.getSubject();
		}

	}

	private static final long LONGEST_LIFE = 30 * 86_400;
	private static final AtomicInteger SETS_GIVEN = new AtomicInteger();
	private static ECKey key;
	private static ECKey foreign;
	private static HttpServer wxmint;
	private static String issuer;
	private static final List<ConfigurableApplicationContext> SERVERS = new ArrayList<>();
	/** Open until the end, because a Netty that closes takes its threads from all others. */
	private static final List<ConfigurableApplicationContext> LATE = new ArrayList<>();
	private final long now = System.currentTimeMillis() / 1000;

	@BeforeAll
	static void start() throws Exception {
		key = new ECKeyGenerator(Curve.P_256).algorithm(JWSAlgorithm.ES256).keyUse(KeyUse.SIGNATURE)
			.keyIDFromThumbprint(true).generate();
		foreign = new ECKeyGenerator(Curve.P_256).keyID("unheard-of").generate();
		wxmint = HttpServer.create(new InetSocketAddress("127.0.0.1", 0), 0);
		issuer = "http://127.0.0.1:" + wxmint.getAddress().getPort();
		wxmint.createContext("/.well-known/jwks.json", SpringTest::answerKeys);
		wxmint.createContext("/revocations", (exchange) -> answer(exchange, page()));
		wxmint.start();
		SERVERS.add(start("servlet"));
		SERVERS.add(start("reactive"));
	}

	@AfterAll
	static void stop() {
		SERVERS.forEach(ConfigurableApplicationContext::close);
		LATE.forEach(ConfigurableApplicationContext::close);
		wxmint.stop(0);
	}

	@Test
	void takesATokenAndKnowsWhose() throws Exception {
		for (HttpResponse<String> answer : ask(200, "Bearer " + token(Map.of()))) {
			assertEquals("lin", answer.body());
		}
	}

	@Test
	void asksForATokenWhereThereIsNone() throws Exception {
		for (HttpResponse<String> answer : ask(401)) {
			assertTrue(answer.headers().firstValue("WWW-Authenticate").orElse("").startsWith("Bearer"), "Boot 4 adds resource_metadata");
		}
	}

	@Test
	void refusesTwoTokens() throws Exception {
		String token = "Bearer " + token(Map.of());
		ask(400, token, token);
		ask(400, token, "Basic bGluOmxpbg==");
	}

	@Test
	void refusesATokenThatIsWrongInOneThing() throws Exception {
		for (Map<String, Object> wrong : List.<Map<String, Object>>of(Map.of("iss", issuer + ".example"),
				Map.of("aud", "https://other.example"), Map.of("exp", this.now - 61), Map.of("iat", this.now + 120),
				Map.of("nbf", this.now + 120), Map.of("client_id", 1), Map.of("jti", ""), Map.of("sub", "was-ended"),
				Map.of("exp", this.now + LONGEST_LIFE + 1), Map.of("iat", this.now - 10, "exp", this.now - 10))) {
			ask(401, "Bearer " + token(wrong));
		}
		ask(200, "Bearer " + token(Map.of("exp", this.now + LONGEST_LIFE)));
	}

	@Test
	void takesARequestOfWxmintAndNothingLikeIt() throws Exception {
		ask(200, "Bearer " + token(Map.of())); // There are keys.
		WxmintVerifier verifier = SERVERS.get(0).getBean(WxmintVerifier.class);
		String base = "https://accounts.example.com/wxmint";
		byte[] body = "{\"idempotency_key\":\"k\"}".getBytes(StandardCharsets.UTF_8);
		String hash = Base64URL.encode(MessageDigest.getInstance("SHA-256").digest(body)).toString();
		Map<String, Object> good = Map.of("aud", base, "htm", "POST", "htu", base + "/users", "body_sha256", hash, "exp", this.now + 60);
		verifier.verifyRequest("Bearer " + request(good), base + "/users", body);
		for (Map<String, Object> wrong : List.<Map<String, Object>>of(Map.of("iss", issuer + ".example"),
				Map.of("aud", "https://other.example.com"), Map.of("aud", base + "/us"), Map.of("aud", List.of(base)),
				Map.of("exp", this.now - 61), Map.of("iat", this.now + 120), Map.of("jti", 1), Map.of("htm", "GET"),
				Map.of("htu", base + "/users/by-phone"), Map.of("body_sha256", hash + "="))) {
			Map<String, Object> spoiled = new TreeMap<>(good);
			spoiled.putAll(wrong);
			String token = "Bearer " + request(spoiled);
			assertThrows(BadJwtException.class, () -> verifier.verifyRequest(token, base + "/users", body), wrong.toString());
		}
		String request = request(good);
		String access = "Bearer " + token(good);
		for (String header : Arrays.asList(null, "", request, "bearer " + request, access, "Bearer a.b.c")) {
			assertThrows(BadJwtException.class, () -> verifier.verifyRequest(header, base + "/users", body), header);
		}
		assertThrows(BadJwtException.class, () -> verifier.verifyRequest("Bearer " + request, base + "/users", new byte[0]));
		ask(401, "Bearer " + request); // It is no access token.
	}

	@Test
	void readsNoTokenOfMoreThan8KiB() throws Exception {
		ask(200, "Bearer " + token(Map.of()));
		WxmintVerifier verifier = SERVERS.get(0).getBean(WxmintVerifier.class);
		// As base64url, three of its characters are four.
		String longest = "x".repeat(((8 << 10) - token(Map.of("x", "")).length()) / 4 * 3);
		assertEquals("lin", verifier.verify(token(Map.of("x", longest))).getSubject());
		assertThrows(BadJwtException.class, () -> verifier.verify(token(Map.of("x", longest + "xxxx"))));
	}

	@Test
	void allowsClocksAMinute() throws Exception {
		ask(200, "Bearer " + token(Map.of("iat", this.now + 40, "exp", this.now + 100)));
		ask(200, "Bearer " + token(Map.of("iat", this.now - 100, "exp", this.now - 30)));
	}

	@Test
	void refusesAnotherTypeAndAnotherAlgorithm() throws Exception {
		ask(401, "Bearer " + signed(key, "JWT", claims(Map.of())));
		ask(401, "Bearer " + signed(key, "revocations+jwt", claims(Map.of())));
		JWSHeader hs256 = new JWSHeader.Builder(JWSAlgorithm.HS256).keyID(key.getKeyID())
			.type(new JOSEObjectType("at+jwt")).build();
		JWSObject token = new JWSObject(hs256, new Payload(claims(Map.of())));
		token.sign(new MACSigner(key.toECPublicKey().getEncoded()));
		ask(401, "Bearer " + token.serialize());
	}

	@Test
	void refusesEveryCritAlsoOneThatNamesNothing() throws Exception {
		for (String crit : List.of("[\"b64\"],\"b64\":true", "[]", "null")) {
			String header = "{\"alg\":\"ES256\",\"typ\":\"at+jwt\",\"kid\":\"" + key.getKeyID() + "\",\"crit\":" + crit + "}";
			ask(401, "Bearer " + signed(key, JWSHeader.parse(Base64URL.encode(header)), claims(Map.of())));
		}
	}

	@Test
	void noStrangerMakesItFetchKeys() throws Exception {
		ask(200, "Bearer " + token(Map.of()));
		int before = SETS_GIVEN.get();
		for (int i = 0; i < 20; i++) {
			ask(401, "Bearer " + signed(foreign, "at+jwt", claims(Map.of())));
		}
		assertEquals(before, SETS_GIVEN.get());
	}

	@Test
	void saysWhenToAskAgainWhileTheIssuerIsAway() throws Exception {
		wxmint.removeContext("/.well-known/jwks.json");
		LATE.addAll(List.of(start("servlet"), start("reactive")));
		wxmint.createContext("/.well-known/jwks.json", SpringTest::answerKeys);
		for (ConfigurableApplicationContext server : LATE) {
			HttpResponse<String> answer = ask(server, "Bearer " + token(Map.of()));
			assertEquals(503, answer.statusCode());
			assertEquals("5", answer.headers().firstValue("Retry-After").orElse(""));
		}
	}

	@Test
	void saysWhichSettingIsMissing() {
		Exception e = assertThrows(Exception.class, () -> SpringApplication.run(Orders.class, "--server.port=0",
				"--wxmint.issuer=" + issuer));
		assertTrue(e.getMessage().contains("wxmint.audience is missing"), e.getMessage());
	}

	/** Keys over http could be anybody's. */
	@Test
	void wantsAnIssuerByHttpsUnlessItIsOnThisMachine() {
		for (String there : List.of("https://127.0.0.1:1/wxmint", "http://127.0.0.2:1", "http://localhost:1/wxmint",
				"http://[::1]:1")) {
			new WxmintAutoConfiguration().wxmintVerifier(issuedBy(there)).close();
		}
		for (String there : List.of("http://login.example.com", "http://wxmint:8080", "http://127.0.0.1.example.com",
				"http://127.0.0.1:1@login.example.com", "http://localhost@login.example.com", "https://login.example.com/")) {
			Exception e = assertThrows(IllegalStateException.class,
					() -> new WxmintAutoConfiguration().wxmintVerifier(issuedBy(there)), there);
			assertTrue(e.getMessage().contains("https URL (http only on loopback)"), e.getMessage());
		}
	}

	private static StandardEnvironment issuedBy(String there) {
		StandardEnvironment settings = new StandardEnvironment();
		Map<String, Object> ours = Map.of("wxmint.issuer", there, "wxmint.audience", "https://api.example.com");
		settings.getPropertySources().addFirst(new MapPropertySource("test", ours));
		return settings;
	}

	private static ConfigurableApplicationContext start(String type) {
		return SpringApplication.run(Orders.class, "--spring.main.web-application-type=" + type, "--server.port=0",
				"--wxmint.issuer=" + issuer, "--wxmint.audience=" + issuer);
	}

	/** Of both servers. Until they have keys, they answer 503. */
	private static List<HttpResponse<String>> ask(int status, String... authorization) throws Exception {
		List<HttpResponse<String>> answers = new ArrayList<>();
		for (ConfigurableApplicationContext server : SERVERS) {
			HttpResponse<String> answer = ask(server, authorization);
			for (long end = System.nanoTime() + 20_000_000_000L; answer.statusCode() == 503 && System.nanoTime() < end;) {
				Thread.sleep(50);
				answer = ask(server, authorization);
			}
			assertEquals(status, answer.statusCode(), server.getClass().getSimpleName());
			answers.add(answer);
		}
		return answers;
	}

	private static HttpResponse<String> ask(ConfigurableApplicationContext server, String... authorization) throws Exception {
		String port = server.getEnvironment().getProperty("local.server.port");
		HttpRequest.Builder request = HttpRequest.newBuilder(URI.create("http://127.0.0.1:" + port + "/orders"));
		for (String value : authorization) {
			request.header("Authorization", value);
		}
		return HttpClient.newHttpClient().send(request.build(), BodyHandlers.ofString());
	}

	private String token(Map<String, Object> instead) throws JOSEException {
		return signed(key, "at+jwt", claims(instead));
	}

	private String request(Map<String, Object> instead) throws JOSEException {
		return signed(key, "wxmint-request+jwt", claims(instead));
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
					"more", false, "revoked", List.of(List.of("sub", name, now + 600, now + 9_000))));
		}
		catch (NoSuchAlgorithmException | JOSEException e) {
			throw new IllegalStateException(e);
		}
	}

	private static String signed(ECKey by, String type, Map<String, Object> claims) throws JOSEException {
		JWSHeader header = new JWSHeader.Builder(JWSAlgorithm.ES256).keyID(by.getKeyID()).type(new JOSEObjectType(type)).build();
		return signed(by, header, claims);
	}

	private static String signed(ECKey by, JWSHeader header, Map<String, Object> claims) throws JOSEException {
		JWSObject token = new JWSObject(header, new Payload(claims));
		token.sign(new ECDSASigner(by));
		return token.serialize();
	}

	/** One of them has no kid, and spoils itself only. */
	private static void answerKeys(HttpExchange exchange) throws IOException {
		SETS_GIVEN.incrementAndGet();
		ECKey good = key.toPublicJWK();
		String odd = new ECKey.Builder(good).keyID(null).build().toJSONString();
		answer(exchange, "{\"keys\":[" + odd + "," + good.toJSONString() + "]}");
	}

	private static void answer(HttpExchange exchange, String text) throws IOException {
		byte[] body = text.getBytes(StandardCharsets.UTF_8);
		exchange.sendResponseHeaders(200, body.length);
		exchange.getResponseBody().write(body);
		exchange.close();
	}

}

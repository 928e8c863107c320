package dev.wxmint.spring;

import java.io.IOException;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.logging.Handler;
import java.util.logging.LogRecord;
import java.util.logging.Logger;

import com.sun.net.httpserver.HttpServer;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

/** Revocations and Keys with an issuer of the test's own, whose pages are not signed; those of SpringTest are. */
class RevocationsTest {

	private final long now = System.currentTimeMillis() / 1000;
	private final Map<String, Object> page = new HashMap<>();
	private HttpServer server;
	private String issuer;
	private Revocations revocations;
	private int setsGiven;
	private Error error;

	@BeforeEach
	void start() throws IOException {
		this.server = HttpServer.create(new InetSocketAddress("127.0.0.1", 0), 0);
		this.server.createContext("/", (exchange) -> {
			this.setsGiven += exchange.getRequestURI().getPath().endsWith("/jwks.json") ? 1 : 0;
			exchange.sendResponseHeaders(200, 2);
			exchange.getResponseBody().write("{}".getBytes(StandardCharsets.US_ASCII));
			exchange.close();
		});
		this.server.start();
		this.issuer = "http://127.0.0.1:" + this.server.getAddress().getPort();
		this.revocations = new Revocations(this.issuer, false, new Keys<>(this.issuer, (set) -> {
			fail();
			return Map.of("kid-1", "a key");
		}), (text) -> {
			fail();
			return new Revocations.Page("kid-1", Map.copyOf(this.page));
		});
		this.page.putAll(Map.of("iss", this.issuer, "iat", this.now, "exp", this.now + 300, "after", "", "cursor", "1",
				"more", false, "revoked", List.of(), "of_a_newer_wxmint", List.of(1)));
	}

	@AfterEach
	void stop() {
		this.server.stop(0);
	}

	@Test
	void judgesNoTokenBeforeItHasKeysAndAPage() {
		assertTrue(this.revocations.unavailable());
		look();
		assertFalse(this.revocations.unavailable());
	}

	@Test
	void whatWasEndedIsRefusedAndNothingElse() throws Exception {
		look(user("lin", this.now), List.of("app", hash("mei\0wx1"), this.now, this.now + 9_000),
				List.of("jti", hash("j1"), this.now + 60), List.of("kid", "kid-9", this.now + 60),
				List.of("of a newer wxmint", 1));
		assertTrue(has("kid-1", "lin", "wx1", "j", this.now), "the very second of the end");
		assertFalse(has("kid-1", "lin", "wx1", "j", this.now + 1), "a login after the end");
		assertTrue(has("kid-1", "mei", "wx1", "j", this.now));
		assertFalse(has("kid-1", "mei", "wx2", "j", this.now), "in another app");
		assertTrue(has("kid-1", "wei", "wx1", "j1", this.now + 9));
		assertFalse(has("kid-1", "wei", "wx1", "j2", this.now));
		assertTrue(has("kid-9", "wei", "wx1", "j2", this.now));
	}

	@Test
	void eachEndIsForgottenByItsOwnDate() throws Exception {
		this.page.put("iat", this.now - 50);
		long soon = this.now - 120 + 20; // the leeway, and as much by which clocks differ
		look(List.of("sub", hash("lin"), this.now, soon), List.of("app", hash("mei\0wx1"), this.now, soon),
				List.of("jti", hash("j1"), soon), List.of("kid", "kid-9", soon), user("wei", this.now),
				List.of("kid", "kid-8", this.now + 60), List.of("jti", hash("j2"), this.now - 171));
		assertTrue(has("kid-1", "lin", "wx1", "j", this.now));
		assertFalse(has("kid-1", "han", "wx1", "j2", this.now), "nobody needs it");
		this.page.putAll(Map.of("after", "1", "iat", this.now + 50));
		look();
		assertFalse(has("kid-1", "lin", "wx1", "j", this.now), "of a user");
		assertFalse(has("kid-1", "mei", "wx1", "j", this.now), "in an app");
		assertFalse(has("kid-1", "han", "wx1", "j1", this.now), "of a token");
		assertFalse(has("kid-9", "han", "wx1", "j", this.now), "of a key");
		assertTrue(has("kid-1", "wei", "wx1", "j", this.now), "of a user, for longer");
		assertTrue(has("kid-8", "han", "wx1", "j", this.now), "of a key, for longer");
	}

	@Test
	void anEndStaysThroughLaterPagesAndWhileTheIssuerIsAway() throws Exception {
		look(user("lin", this.now));
		this.page.put("after", "1");
		look(user("lin", this.now - 100));
		this.server.stop(0);
		look();
		assertTrue(has("kid-1", "lin", "wx1", "j", this.now));
		assertFalse(has("kid-1", "mei", "wx1", "j", this.now));
	}

	@Test
	void aPageThatIsWrongInOneThingChangesNothing() throws Exception {
		look();
		this.page.put("after", "1");
		this.page.put("revoked", List.of(user("lin", this.now)));
		for (Map.Entry<String, Object> wrong : Map.<String, Object>of("iss", "https://other.example", "iat", this.now - 600,
				"exp", this.now - 600, "after", "another", "more", "no", "cursor", 1).entrySet()) {
			Object right = this.page.put(wrong.getKey(), wrong.getValue());
			this.revocations.run();
			assertFalse(has("kid-1", "lin", "wx1", "j", this.now), wrong.getKey());
			this.page.put(wrong.getKey(), right);
		}
		for (List<?> wrong : List.of(List.of("jti", "not a hash", this.now), List.of("jti", hash("j1")),
				List.of("sub", hash("mei"), this.now), List.of("app", hash("mei"), this.now), List.of("kid", "kid-9"),
				List.of("sub", hash("mei"), this.now, "1"))) {
			look(user("lin", this.now), wrong);
			assertFalse(has("kid-1", "lin", "wx1", "j", this.now), "one malformed end: " + wrong);
		}
		look(user("lin", this.now), List.of("kid", "kid-1", this.now + 60));
		assertFalse(has("kid-1", "lin", "wx1", "j", this.now), "it ends the key that signs it");
	}

	@Test
	void keysAreAskedForOnceInFiveMinutes() {
		for (int i = 0; i < 20; i++) {
			look();
		}
		assertEquals(1, this.setsGiven);
	}

	/** The schedule that calls it would end for ever. */
	@Test
	void noErrorGetsOutAndOneIsToldAndTheNextLookIsAsGoodAsAny() throws Exception {
		List<String> told = new ArrayList<>();
		Logger logger = Logger.getLogger("wxmint");
		Handler handler = new Handler() {
			@Override
			public void publish(LogRecord line) {
				told.add(line.getMessage());
				throw new LinkageError("in the log");
			}

			@Override
			public void flush() { }

			@Override
			public void close() { }
		};
		logger.addHandler(handler);
		try {
			this.error = new NoClassDefFoundError("of keys");
			look();
			this.error = null;
			look();
			this.error = new LinkageError("of a page");
			look();
			assertFalse(this.revocations.unavailable(), "what is known stays");
			this.error = null;
			look(user("lin", this.now));
		}
		finally {
			logger.removeHandler(handler);
		}
		assertTrue(has("kid-1", "lin", "wx1", "j", this.now));
		assertEquals("revocations are not known: keys: java.lang.NoClassDefFoundError: of keys", told.get(0));
		assertTrue(told.get(1).endsWith(": java.lang.LinkageError: of a page"), told.toString());
	}

	private void fail() {
		if (this.error != null) {
			throw this.error;
		}
	}

	private void look(Object... ended) {
		this.page.put("revoked", List.of(ended));
		this.revocations.run();
	}

	private List<?> user(String name, long before) throws Exception {
		return List.of("sub", hash(name), before, before + 9_000);
	}

	private boolean has(String kid, String sub, String app, String jti, long iat) {
		return this.revocations.have(kid, sub, app, jti, iat);
	}

	private String hash(String value) throws Exception {
		byte[] text = (this.issuer + "\0" + value).getBytes(StandardCharsets.UTF_8);
		byte[] first = Arrays.copyOf(MessageDigest.getInstance("SHA-256").digest(text), 12);
		return Base64.getUrlEncoder().withoutPadding().encodeToString(first);
	}

}

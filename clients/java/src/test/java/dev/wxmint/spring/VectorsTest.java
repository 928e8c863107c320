package dev.wxmint.spring;

import java.lang.reflect.Field;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Objects;

import com.nimbusds.jose.JWSObject;
import com.nimbusds.jose.util.JSONObjectUtils;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

/** The test vectors of docs/revocation-feed, with the verifier's own signatures, keys and memory, and without its network. */
class VectorsTest {

	/** In the repository, from the folder of the library. */
	private static final Path VECTORS = Path
		.of(System.getenv().getOrDefault("WXMINT_VECTORS", "../../docs/revocation-feed/vectors"));

	private final List<String> faults = new ArrayList<>();
	private int count;

	@AfterEach
	void restoreClock() {
		Revocations.clock = System::currentTimeMillis;
	}

	@Test
	void findsWhatTheVectorsSay() throws Exception {
		for (Map<String, Object> group : groups("pages.json")) {
			for (Map<String, Object> test : tests(group)) {
				if (test.get("comment").toString().endsWith("by Ed25519")) {
					continue; // Nimbus would need Tink for it.
				}
				Follower follower = new Follower(group);
				expect(test, "page", follower.take((String) test.get("page"), (Long) group.get("now")));
			}
		}
		for (Map<String, Object> group : groups("sequences.json")) {
			Follower follower = new Follower(group);
			for (Map<String, Object> test : tests(group)) {
				long now = (Long) test.get("now");
				String page = (String) test.get("page");
				expect(test, "step", page == null ? follower.judge((String) test.get("token"), now) : follower.take(page, now));
			}
		}
		assertEquals(List.of(), this.faults);
		assertTrue(this.count > 140, "tests: " + this.count);
	}

	private void expect(Map<String, Object> test, String kind, String result) {
		this.count++;
		if (!Objects.equals(result, test.get("result"))) {
			this.faults.add(kind + " " + test.get("tcId") + ", " + test.get("comment") + ": " + result);
		}
	}

	private static List<Map<String, Object>> groups(String name) throws Exception {
		return list(JSONObjectUtils.parse(Files.readString(VECTORS.resolve(name))).get("testGroups"));
	}

	private static List<Map<String, Object>> tests(Map<String, Object> group) {
		return list(group.get("tests"));
	}

	@SuppressWarnings("unchecked")
	private static List<Map<String, Object>> list(Object value) {
		return (List<Map<String, Object>>) value;
	}

	/** A verifier that has the keys of a group. */
	private static final class Follower {

		private final Object keys;
		private final Revocations revocations;
		private final Revocations.Pages pages;

		@SuppressWarnings("unchecked")
		Follower(Map<String, Object> group) throws Exception {
			String issuer = (String) group.get("issuer");
			WxmintVerifier verifier = new WxmintVerifier(issuer, (String) group.get("audience"), true);
			verifier.close(); // Its own thread asks no server.
			this.keys = field(verifier, "keys");
			this.pages = (Revocations.Pages) field(field(verifier, "revocations"), "pages");
			this.revocations = new Revocations(issuer, true, (Keys<?>) this.keys, this.pages);
			Method usable = WxmintVerifier.class.getDeclaredMethod("usable", String.class);
			usable.setAccessible(true);
			String set = JSONObjectUtils.toJSONString((Map<String, Object>) group.get("jwks"));
			set(this.keys, "known", usable.invoke(null, set));
			set(this.keys, "confirmed", System.currentTimeMillis());
		}

		String take(String text, long now) throws Exception {
			Revocations.clock = () -> now * 1_000;
			Method take = Revocations.class.getDeclaredMethod("take", Revocations.Page.class);
			take.setAccessible(true);
			try {
				take.invoke(this.revocations, this.pages.verified(text));
				return "accept";
			}
			catch (InvocationTargetException | RuntimeException | java.text.ParseException e) {
				return "refuse";
			}
		}

		String judge(String text, long now) throws Exception {
			Revocations.clock = () -> now * 1_000;
			JWSObject token = JWSObject.parse(text);
			Map<String, Object> claims = token.getPayload().toJSONObject();
			if (this.revocations.have(token.getHeader().getKeyID(), (String) claims.get("sub"),
					(String) claims.get("client_id"), (String) claims.get("jti"), (Long) claims.get("iat"))) {
				return "refuse";
			}
			return this.revocations.unavailable() ? "unavailable" : "accept";
		}

		private static Object field(Object of, String name) throws ReflectiveOperationException {
			Field field = of.getClass().getDeclaredField(name);
			field.setAccessible(true);
			return field.get(of);
		}

		private static void set(Object of, String name, Object value) throws ReflectiveOperationException {
			Field field = of.getClass().getDeclaredField(name);
			field.setAccessible(true);
			field.set(of, value);
		}

	}

}

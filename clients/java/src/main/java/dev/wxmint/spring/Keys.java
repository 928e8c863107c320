package dev.wxmint.spring;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.net.HttpURLConnection;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.util.Map;

/**
 * The issuer's public keys by kid. A key is published half an hour before it signs, so that no token makes us fetch: a
 * stranger could otherwise have us ask as often as he likes, or wait for an issuer that is away. {@link Revocations} calls
 * {@link #look}. Needs the JDK alone.
 */
final class Keys<K> {

	private static final long EVERY = 300_000; // ms; a removed key is believed for so long
	private static final long EVERY_FOR_A_PAGE = 10_000; // ms; when the revocation feed is signed by a key that is not known
	private static final long MAX_AGE = 86_400; // seconds; keys that the issuer has not confirmed for so long are void
	private static final int DEADLINE = 4_000; // ms
	private static final int LONGEST_SET = 64 << 10; // bytes

	/** Reads a JWK Set: the keys that can be used, by kid. A bad one spoils itself only. */
	interface Reader<K> {
		Map<String, K> read(String set) throws Exception;
	}

	private final URI url;
	private final Reader<K> reader;
	private volatile Map<String, K> known = Map.of();
	private volatile long confirmed; // ms since 1970
	private long asked; // ms since 1970

	Keys(String issuer, Reader<K> reader) {
		this.url = URI.create(issuer + "/.well-known/jwks.json");
		this.reader = reader;
	}

	/** Null where there is none of this name. */
	K get(String kid) {
		return kid == null || none() ? null : known.get(kid);
	}

	/** Whether no token can be judged: answer 503. */
	boolean none() {
		return known.isEmpty() || System.currentTimeMillis() - confirmed > MAX_AGE * 1_000;
	}

	/** Asks the issuer where it is time to. By one thread. */
	void look(boolean forPage) throws Exception {
		long now = System.currentTimeMillis();
		if (!none() && now - asked < (forPage ? EVERY_FOR_A_PAGE : EVERY)) {
			return;
		}
		Map<String, K> read = reader.read(fetch(url, LONGEST_SET));
		if (read.isEmpty()) {
			throw new IOException("no usable key in the JWKS");
		}
		known = Map.copyOf(read);
		confirmed = System.currentTimeMillis();
		asked = now; // After a failure it asks at the next look.
	}

	/** An answer with status 200, as text. Follows no redirect. */
	static String fetch(URI url, int longest) throws IOException {
		HttpURLConnection connection = (HttpURLConnection) url.toURL().openConnection();
		connection.setInstanceFollowRedirects(false);
		connection.setConnectTimeout(DEADLINE);
		connection.setReadTimeout(DEADLINE);
		try {
			if (connection.getResponseCode() != 200) {
				throw new IOException("the issuer answers " + connection.getResponseCode());
			}
			ByteArrayOutputStream text = new ByteArrayOutputStream();
			byte[] some = new byte[65_536];
			long end = System.nanoTime() + DEADLINE * 1_000_000L;
			for (int length; (length = connection.getInputStream().read(some)) >= 0; text.write(some, 0, length)) {
				if (text.size() + length > longest || System.nanoTime() > end) {
					throw new IOException("the issuer's answer is too long");
				}
			}
			return text.toString(StandardCharsets.UTF_8);
		}
		finally {
			connection.disconnect();
		}
	}

}

package dev.wxmint.spring;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodySubscriber;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.Flow.Subscription;
import java.util.concurrent.TimeUnit;

/**
 * The issuer's public keys by kid. A key is published half an hour before it signs, so that no token makes us fetch: a
 * stranger could otherwise have us ask as often as he likes, or wait for an issuer that is away. {@link Revocations} calls
 * {@link #look}. Needs the JDK alone.
 */
final class Keys<K> {

	private static final long EVERY = 300_000; // ms; a removed key is believed for so long
	private static final long EVERY_FOR_A_PAGE = 10_000; // ms; when the revocation feed is signed by a key that is not known
	private static final long MAX_AGE = 86_400; // seconds; keys that the issuer has not confirmed for so long are void
	private static final int DEADLINE = 4_000; // ms; for one answer, from the connection to the last byte
	private static final int LONGEST_SET = 64 << 10; // bytes
	private static final HttpClient HTTP = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();

	/** Reads a JWK Set: the keys that can be used, by kid. A bad one spoils itself only. */
	interface Reader<K> {
		Map<String, K> read(String set) throws Exception;
	}

	private final URI url;
	private final Reader<K> reader;
	private volatile Map<String, K> known = Map.of();
	private volatile long confirmed; // ms since 1970
	private Long asked; // ms of uptime: the clock may be set
	private Long askedForPage;

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
		// Keys that were confirmed in the future, by a clock that was ahead, are as old.
		return known.isEmpty() || Math.abs(System.currentTimeMillis() - confirmed) > MAX_AGE * 1_000;
	}

	/** Asks the issuer where it is time to: for a page of an unknown key, also if it just did. By one thread. */
	void look(boolean forPage) throws Exception {
		long now = System.nanoTime() / 1_000_000;
		Long last = forPage ? askedForPage : asked;
		if (!none() && last != null && now - last < (forPage ? EVERY_FOR_A_PAGE : EVERY)) {
			return;
		}
		askedForPage = forPage ? Long.valueOf(now) : askedForPage;
		Map<String, K> read = new HashMap<>(reader.read(fetch(url, LONGEST_SET)));
		read.remove(null); // A key without a kid can be asked for by nobody, and spoils itself only.
		if (read.isEmpty()) {
			throw new IOException("no usable key in the JWKS");
		}
		known = read;
		confirmed = System.currentTimeMillis();
		asked = now; // After a failure it asks at the next look.
	}

	/** An answer with status 200, as text. Follows no redirect. */
	static String fetch(URI url, int longest) throws Exception {
		HttpRequest request = HttpRequest.newBuilder(url).timeout(Duration.ofMillis(DEADLINE)).build();
		CompletableFuture<HttpResponse<String>> answer = HTTP.sendAsync(request, (head) -> new Body(longest));
		try {
			// The request's own timeout ends with the head.
			HttpResponse<String> whole = answer.get(DEADLINE, TimeUnit.MILLISECONDS);
			if (whole.statusCode() != 200) {
				throw new IOException("the issuer answers " + whole.statusCode());
			}
			return whole.body();
		}
		finally {
			answer.cancel(true);
		}
	}

	/** A text of at most so many bytes, and not for longer than DEADLINE, after which nobody waits for it. */
	private static final class Body implements BodySubscriber<String> {

		private final CompletableFuture<String> whole = new CompletableFuture<>();
		private final ByteArrayOutputStream text = new ByteArrayOutputStream();
		private final long began = System.nanoTime();
		private final int longest;
		private Subscription subscription;

		Body(int longest) {
			this.longest = longest;
		}

		@Override
		public CompletionStage<String> getBody() {
			return whole;
		}

		@Override
		public void onSubscribe(Subscription subscription) {
			this.subscription = subscription;
			subscription.request(Long.MAX_VALUE);
		}

		@Override
		public void onNext(List<ByteBuffer> some) {
			for (ByteBuffer buffer : some) {
				byte[] bytes = new byte[buffer.remaining()];
				buffer.get(bytes);
				text.write(bytes, 0, bytes.length);
			}
			if (text.size() > longest || System.nanoTime() - began > DEADLINE * 1_000_000L) {
				subscription.cancel();
				onError(new IOException("the issuer's answer is too long"));
			}
		}

		@Override
		public void onError(Throwable e) {
			whole.completeExceptionally(e);
		}

		@Override
		public void onComplete() {
			whole.complete(text.toString(StandardCharsets.UTF_8));
		}

	}

}

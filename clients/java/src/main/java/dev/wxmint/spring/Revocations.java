package dev.wxmint.spring;

import java.io.IOException;
import java.net.URI;
import java.net.URLEncoder;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.Arrays;
import java.util.Base64;
import java.util.Collections;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.NoSuchElementException;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.LongSupplier;
import java.util.stream.Collectors;

/** Knows which tokens were ended before they expire: follows the issuer's signed feed. Needs Keys.java and the JDK alone. */
final class Revocations implements Runnable {

	static final long EVERY = 5_000; // ms between two looks
	private static final int LONGEST_PAGE = 2 << 20; // bytes
	private static final int MOST_PAGES = 1_000; // in one look
	// Held in memory; of more, the oldest of the kind with most are dropped, but no key.
	private static final int MOST_REVOCATIONS = 1_000_000;
	private static final long FORGET_EVERY = 60; // seconds, by the time of the pages: a look at so many takes long
	private static final long MAX_AGE = 60; // seconds; what is older is old knowledge
	private static final long FIRST_PAGE_WITHIN = 10; // seconds; unless `closed`, goes on without a first page then
	private static final long LEEWAY = 60; // seconds by which clocks may differ
	static LongSupplier clock = System::currentTimeMillis; // ms since 1970; another one for tests

	/** Checks signature, algorithm and typ ("revocations+jwt", nothing else). NoSuchElementException: its key is not known. */
	interface Pages {
		Page verified(String page) throws Exception;
	}

	/** The claims of a page as JSON, and the kid of the key that signed it. */
	static final class Page {

		private final String kid;
		private final Map<String, Object> claims;

		Page(String kid, Map<String, Object> claims) {
			this.kid = kid;
			this.claims = claims;
		}

	}

	/** Of a user's tokens up to a second, or of one token or key. It is needed until the last of them has expired. */
	private static final class End {

		private final long before;
		private final long until;

		End(long before, long until) {
			this.before = before;
			this.until = until;
		}

		End orLater(End other) {
			return new End(Math.max(before, other.before), Math.max(until, other.until));
		}

	}

	private final String issuer;
	private final boolean closed; // with old knowledge: false goes on and warns, true answers 503
	private final Keys<?> keys;
	private final Pages pages;
	// By "sub HASH", "app HASH", "jti HASH" and "kid KID".
	private final Map<String, End> held = new ConcurrentHashMap<>();
	private volatile long complete; // the greatest iat of a page after which there was no more, or 0
	private volatile Long began; // uptime when there were keys for the first time
	private String cursor = "";
	private long newest; // the greatest iat of a page
	private long forgotAt; // newest, when it forgot last
	private Long warned; // uptime
	private volatile long lackingUntil; // until when a revocation that was dropped may be needed

	Revocations(String issuer, boolean closed, Keys<?> keys, Pages pages) {
		this.issuer = issuer;
		this.closed = closed;
		this.keys = keys;
		this.pages = pages;
	}

	/** Whether a verified token was ended. To be asked about each request, also where a token is remembered as good. */
	boolean have(String kid, String sub, String clientId, String jti, long iat) {
		long user = before("sub " + hash(sub));
		long app = before("app " + hash(sub + "\0" + clientId));
		return iat <= user || iat <= app || held.containsKey("jti " + hash(jti)) || held.containsKey("kid " + kid);
	}

	private long before(String name) {
		End end = held.get(name);
		return end == null ? -1 : end.before;
	}

	/** Whether no token can be judged now: answer 503. */
	boolean unavailable() {
		boolean tooOld = closed ? age() > MAX_AGE || now() < lackingUntil
				: complete == 0 && (began == null || uptime() - began <= FIRST_PAGE_WITHIN);
		return keys.none() || tooOld;
	}

	/** Seconds. */
	long age() {
		return now() - complete;
	}

	/** To be called EVERY so often, by one thread. Never throws, because its schedule would end then, and nobody would know. */
	@Override
	public void run() {
		String trouble = null;
		try {
			keys.look(false);
		}
		catch (Throwable e) { // What is known stays, whatever it was.
			trouble = "keys: " + e;
		}
		try {
			if (!keys.none()) {
				began = began == null ? Long.valueOf(uptime()) : began;
				follow();
			}
		}
		catch (Throwable e) {
			trouble = e.toString();
		}
		// If this machine's clock has stepped back, it refuses new pages: what is known is as old as that.
		complete = complete > now() + LEEWAY ? 2 * now() - complete : complete;
		try {
			warn(trouble);
		}
		catch (Throwable e) { // It comes up again after five seconds.
		}
	}

	private void warn(String trouble) {
		if (trouble == null && now() < lackingUntil) {
			trouble = "too many revocations; the oldest were dropped";
		}
		if ((trouble != null || age() > MAX_AGE) && (warned == null || uptime() - warned > 60)) {
			String why = trouble != null ? trouble : "the issuer's newest page is old";
			String age = complete == 0 ? "are not known" : "are " + age() + " s old";
			System.getLogger("wxmint").log(System.Logger.Level.WARNING, "revocations " + age + ": " + why);
			warned = uptime();
		}
	}

	/**
	 * Drops what can concern no valid token any more, and what is too much: by the time of the newest page, because this
	 * machine's clock may be wrong, and what is forgotten is never learnt again.
	 */
	private void forget() {
		forgotAt = newest;
		held.values().removeIf((end) -> !needs(end));
		while (held.size() > MOST_REVOCATIONS) {
			Map<String, List<Map.Entry<String, End>>> kinds = held.entrySet().stream()
				.filter((end) -> !end.getKey().startsWith("kid "))
				.collect(Collectors.groupingBy((end) -> end.getKey().substring(0, 3)));
			if (kinds.isEmpty()) {
				return;
			}
			List<Map.Entry<String, End>> most = Collections.max(kinds.values(), Comparator.comparingInt(List::size));
			most.sort(Comparator.comparingLong((end) -> end.getValue().until));
			for (Map.Entry<String, End> end : most.subList(0, (most.size() + 7) / 8)) {
				lackingUntil = Math.max(lackingUntil, end.getValue().until + 2 * LEEWAY);
				held.remove(end.getKey());
			}
		}
	}

	/** Until the last token has expired that it names: for the leeway, and for as long again by a clock that is behind. */
	private boolean needs(End end) {
		return end.until + 2 * LEEWAY > newest;
	}

	private void follow() throws Exception {
		for (int page = 0; page < MOST_PAGES; page++) {
			String query = cursor.isEmpty() ? "" : "?after=" + URLEncoder.encode(cursor, StandardCharsets.UTF_8);
			String text = Keys.fetch(URI.create(issuer + "/revocations" + query), LONGEST_PAGE);
			Page verified;
			try {
				verified = pages.verified(text);
			}
			catch (NoSuchElementException e) {
				keys.look(true); // After `wxmint keys retire --now` a key signs at once. No stranger can make us fetch it.
				verified = pages.verified(text);
			}
			if (!take(verified)) {
				return;
			}
		}
	}

	/** Counts a page as a whole or not at all. Returns whether there is more. */
	private boolean take(Page signed) throws IOException {
		Map<String, Object> page = signed.claims;
		check(issuer.equals(page.get("iss")), "another issuer's page");
		long iat = time(page.get("iat"));
		check(iat <= now() + LEEWAY && time(page.get("exp")) > now() - LEEWAY, "not a page of this time");
		// Each replica of wxmint keeps a page for a second, and after a failover its clock may be a little behind.
		check(iat >= newest - LEEWAY, "a much older page than the newest one");
		String after = as(String.class, page.get("after"));
		String next = as(String.class, page.get("cursor"));
		boolean more = as(Boolean.class, page.get("more"));
		check(after.isEmpty() || after.equals(cursor), "a page that was not asked for");
		check(!more || !next.equals(cursor), "a page that leads to itself");
		Map<String, End> learnt = new HashMap<>();
		for (Object end : as(List.class, page.get("revoked"))) {
			learn(as(List.class, end), learnt);
		}
		String key = "kid " + signed.kid;
		check(!held.containsKey(key) && !learnt.containsKey(key), "the page's key is ended");
		newest = Math.max(iat, newest);
		learnt.forEach((name, end) -> {
			if (needs(end)) {
				held.merge(name, end, End::orLater);
			}
		});
		if (newest - forgotAt >= FORGET_EVERY || held.size() > MOST_REVOCATIONS) {
			forget();
		}
		cursor = next;
		complete = more ? complete : Math.max(iat, complete);
		return more;
	}

	private static void learn(List<?> end, Map<String, End> learnt) throws IOException {
		check(!end.isEmpty(), "a malformed end");
		String kind = as(String.class, end.get(0));
		if (!List.of("sub", "app", "jti", "kid").contains(kind)) {
			return; // of a newer issuer
		}
		boolean ofUser = kind.equals("sub") || kind.equals("app");
		check(end.size() > (ofUser ? 3 : 2), "a malformed end");
		String value = as(String.class, end.get(1));
		boolean named = kind.equals("kid") ? !value.isEmpty() : value.matches("[A-Za-z0-9_-]{16}");
		check(named, "a malformed end");
		long first = time(end.get(2));
		End learns = ofUser ? new End(first, time(end.get(3))) : new End(0, first);
		learnt.merge(kind + " " + value, learns, End::orLater);
	}

	private static <T> T as(Class<T> type, Object value) throws IOException {
		check(type.isInstance(value), "malformed: a " + type.getSimpleName() + " is expected");
		return type.cast(value);
	}

	static long time(Object value) throws IOException {
		check((value instanceof Long || value instanceof Integer) && ((Number) value).longValue() >= 0, "not a time");
		return ((Number) value).longValue();
	}

	private static void check(boolean holds, String otherwise) throws IOException {
		if (!holds) {
			throw new IOException(otherwise);
		}
	}

	/** Stands for a value in the feed, which names nobody. */
	private String hash(String value) {
		try {
			byte[] text = (issuer + "\0" + value).getBytes(StandardCharsets.UTF_8);
			byte[] first = Arrays.copyOf(MessageDigest.getInstance("SHA-256").digest(text), 12);
			return Base64.getUrlEncoder().withoutPadding().encodeToString(first);
		}
		catch (NoSuchAlgorithmException e) {
			throw new IllegalStateException(e); // Every Java has it.
		}
	}

	private static long now() {
		return clock.getAsLong() / 1_000;
	}

	/** Seconds, for durations: the clock may be set. */
	static long uptime() {
		return System.nanoTime() / 1_000_000_000;
	}

}

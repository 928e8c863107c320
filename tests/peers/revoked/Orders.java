package dev.wxmint.spring;

import java.io.IOException;
import java.math.BigInteger;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.AlgorithmParameters;
import java.security.GeneralSecurityException;
import java.security.KeyFactory;
import java.security.PublicKey;
import java.security.Signature;
import java.security.spec.ECGenParameterSpec;
import java.security.spec.ECParameterSpec;
import java.security.spec.ECPoint;
import java.security.spec.ECPublicKeySpec;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Base64;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.NoSuchElementException;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;

import com.example.orders.OldTokens;
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;

/**
 * Stands in for Spring and Nimbus around Revocations.java, Keys.java and OldTokens.java, with the JDK alone: an ES256 verifier that
 * checks what WxmintVerifier checks. Arguments: port, issuer, and the old secret with its end, if there is one.
 */
final class Orders {

	private final String issuer;
	private final Keys<PublicKey> keys;
	private final Revocations revocations;
	private OldTokens old;

	public static void main(String[] arguments) throws Exception {
		Orders orders = new Orders(arguments[1]);
		if (arguments.length > 2) {
			byte[] secret = arguments[2].getBytes(StandardCharsets.UTF_8);
			orders.old = new OldTokens(secret, Instant.parse(arguments[3]), (text) -> new Json(text).object());
		}
		HttpServer server = HttpServer.create(new InetSocketAddress("127.0.0.1", Integer.parseInt(arguments[0])), 0);
		server.createContext("/orders", orders::answer);
		server.setExecutor(Executors.newFixedThreadPool(4));
		server.start();
	}

	private Orders(String issuer) throws IOException {
		boolean closed = Files.readString(Path.of("example/src/main/resources/application.yml")).contains("revocations: closed");
		this.issuer = issuer;
		keys = new Keys<>(issuer, Orders::usable);
		revocations = new Revocations(issuer, closed, keys, (page) -> {
			String kid = (String) header(page).get("kid");
			if (keys.get(kid) == null) {
				throw new NoSuchElementException("a page of an unknown key");
			}
			return new Revocations.Page(kid, verified(page, "revocations+jwt"));
		});
		Executors.newSingleThreadScheduledExecutor().scheduleWithFixedDelay(revocations, 0, Revocations.EVERY, TimeUnit.MILLISECONDS);
	}

	private static Map<String, PublicKey> usable(String set) throws Exception {
		Map<String, PublicKey> usable = new HashMap<>();
		AlgorithmParameters curve = AlgorithmParameters.getInstance("EC");
		curve.init(new ECGenParameterSpec("secp256r1"));
		for (Object member : (List<?>) new Json(set).object().get("keys")) {
			Map<?, ?> key = (Map<?, ?>) member;
			ECPoint point = new ECPoint(number(key.get("x")), number(key.get("y")));
			ECPublicKeySpec spec = new ECPublicKeySpec(point, curve.getParameterSpec(ECParameterSpec.class));
			usable.put((String) key.get("kid"), KeyFactory.getInstance("EC").generatePublic(spec));
		}
		return usable;
	}

	private void answer(HttpExchange exchange) {
		try (exchange) {
			int status = status(exchange.getRequestHeaders().getFirst("Authorization").substring("Bearer ".length()));
			if (status == 503) {
				exchange.getResponseHeaders().set("Retry-After", "5");
			}
			exchange.sendResponseHeaders(status, -1);
		}
		catch (Exception e) {
			e.printStackTrace();
		}
	}

	private int status(String token) {
		try {
			if (old != null && old.userOf(token) != null) {
				return 200;
			}
		}
		catch (GeneralSecurityException e) {
			return 401;
		}
		return revocations.unavailable() ? 503 : isGood(token) ? 200 : 401;
	}

	private boolean isGood(String token) {
		try {
			Map<String, Object> claims = verified(token, "at+jwt");
			String kid = (String) header(token).get("kid");
			return claims.get("iss").equals(issuer) && !revocations.have(kid, (String) claims.get("sub"),
					(String) claims.get("client_id"), (String) claims.get("jti"), (Long) claims.get("iat"));
		}
		catch (Exception e) {
			return false;
		}
	}

	private Map<String, Object> verified(String token, String type) throws Exception {
		String[] parts = token.split("\\.", -1);
		Map<String, Object> header = header(token);
		if (parts.length != 3 || !type.equals(header.get("typ")) || !"ES256".equals(header.get("alg"))
				|| header.containsKey("crit")) {
			throw new IllegalArgumentException("not " + type);
		}
		Signature signature = Signature.getInstance("SHA256withECDSAinP1363Format");
		signature.initVerify(keys.get((String) header.get("kid")));
		signature.update((parts[0] + "." + parts[1]).getBytes(StandardCharsets.US_ASCII));
		if (!signature.verify(Base64.getUrlDecoder().decode(parts[2]))) {
			throw new IllegalArgumentException("signature");
		}
		return part(parts[1]);
	}

	private static Map<String, Object> header(String token) {
		return part(token.split("\\.", -1)[0]);
	}

	private static Map<String, Object> part(String part) {
		return new Json(new String(Base64.getUrlDecoder().decode(part), StandardCharsets.UTF_8)).object();
	}

	private static BigInteger number(Object coordinate) {
		return new BigInteger(1, Base64.getUrlDecoder().decode((String) coordinate));
	}

	/** As much of RFC 8259 as a test writes: no escapes, whole numbers. */
	private static final class Json {

		private final String text;
		private int at;

		Json(String text) {
			this.text = text;
		}

		Map<String, Object> object() {
			Map<String, Object> object = new HashMap<>();
			for (expect('{'); text.charAt(at) != '}'; skip(',')) {
				String name = string();
				expect(':');
				object.put(name, value());
			}
			expect('}');
			return object;
		}

		private Object value() {
			char first = text.charAt(at);
			if (first == '{') {
				return object();
			}
			if (first == '"') {
				return string();
			}
			if (first == '[') {
				List<Object> list = new ArrayList<>();
				for (expect('['); text.charAt(at) != ']'; skip(',')) {
					list.add(value());
				}
				expect(']');
				return list;
			}
			int start = at;
			while ("+-.0123456789abcdefghijklmnopqrstuvwxyz".indexOf(text.charAt(at)) >= 0) {
				at++;
			}
			String word = text.substring(start, at);
			return word.equals("true") || word.equals("false") ? (Object) Boolean.valueOf(word) : Long.valueOf(word);
		}

		private String string() {
			expect('"');
			int start = at;
			at = text.indexOf('"', at) + 1;
			return text.substring(start, at - 1);
		}

		private void expect(char next) {
			if (text.charAt(at++) != next) {
				throw new IllegalArgumentException("JSON: " + next + " expected before " + at);
			}
		}

		private void skip(char next) {
			if (text.charAt(at) == next) {
				at++;
			}
		}

	}

}

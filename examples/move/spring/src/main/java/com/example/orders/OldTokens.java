package com.example.orders;

import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.security.MessageDigest;
import java.time.Instant;
import java.util.Base64;
import java.util.Map;

import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;

/**
 * The tokens that your own login signed with a secret (HS256). The secret alone judges them, whatever is known of wxmint's
 * keys, until a date. Needs the JDK alone, and so takes a secret of any length; Nimbus wants 32 bytes.
 */
public final class OldTokens {

	private static final String ALG = "HS256";
	private static final String MAC = "HmacSHA256";

	/** Reads a JSON object. */
	public interface Json {
		Map<String, Object> read(String text) throws Exception;
	}

	private final SecretKeySpec secret;
	private final Instant until;
	private final Json json;

	public OldTokens(byte[] secret, Instant until, Json json) {
		this.secret = new SecretKeySpec(secret, MAC);
		this.until = until;
		this.json = json;
	}

	/**
	 * The user of an old token, or null for a token that names a key, as each of wxmint's does. Throws where the token is bad.
	 * Whoever names no key has to know the secret, and whoever names one to have wxmint's: no `alg` of a token changes that.
	 */
	public String userOf(String token) throws GeneralSecurityException {
		try {
			String[] parts = token.split("\\.", -1);
			Map<String, Object> header = object(parts[0]);
			if (header.containsKey("kid")) {
				return null;
			}
			check(parts.length == 3 && ALG.equals(header.get("alg")) && !header.containsKey("crit"), "not " + ALG);
			Mac mac = Mac.getInstance(MAC);
			mac.init(secret);
			byte[] right = mac.doFinal((parts[0] + "." + parts[1]).getBytes(StandardCharsets.US_ASCII));
			check(MessageDigest.isEqual(right, Base64.getUrlDecoder().decode(parts[2])), "another signature");
			Map<String, Object> claims = object(parts[1]);
			long now = Instant.now().getEpochSecond();
			check(claims.get("exp") instanceof Number exp && now < exp.longValue(), "expired");
			check(!claims.containsKey("nbf") || claims.get("nbf") instanceof Number nbf && nbf.longValue() <= now, "not yet good");
			check(now < until.getEpochSecond(), "old tokens have had their time");
			Object user = claims.get("uid"); // your own claim
			check(user instanceof String || user instanceof Long || user instanceof Integer, "no user");
			return user.toString();
		}
		catch (Exception e) { // whatever the parsers throw
			throw new GeneralSecurityException(e.getMessage(), e);
		}
	}

	private Map<String, Object> object(String part) throws Exception {
		return json.read(new String(Base64.getUrlDecoder().decode(part), StandardCharsets.UTF_8));
	}

	private static void check(boolean holds, String otherwise) throws GeneralSecurityException {
		if (!holds) {
			throw new GeneralSecurityException(otherwise);
		}
	}

}

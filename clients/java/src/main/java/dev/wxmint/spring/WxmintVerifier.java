package dev.wxmint.spring;

import java.security.MessageDigest;
import java.text.ParseException;
import java.util.Base64;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.NoSuchElementException;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;

import com.nimbusds.jose.JOSEException;
import com.nimbusds.jose.JWSAlgorithm;
import com.nimbusds.jose.JWSHeader;
import com.nimbusds.jose.JWSObject;
import com.nimbusds.jose.JWSVerifier;
import com.nimbusds.jose.crypto.ECDSAVerifier;
import com.nimbusds.jose.crypto.RSASSAVerifier;
import com.nimbusds.jose.jwk.JWK;
import com.nimbusds.jose.jwk.KeyOperation;
import com.nimbusds.jose.jwk.KeyUse;
import com.nimbusds.jose.util.JSONObjectUtils;

import org.springframework.http.HttpStatus;
import org.springframework.security.oauth2.core.OAuth2AuthenticationException;
import org.springframework.security.oauth2.jwt.BadJwtException;
import org.springframework.security.oauth2.jwt.Jwt;
import org.springframework.security.oauth2.jwt.MappedJwtClaimSetConverter;
import org.springframework.security.oauth2.server.resource.BearerTokenError;

/**
 * Verifies wxmint's tokens with the keys and revocations that a thread of its own asks the issuer for; a token never makes it ask.
 * Spring's own decoder asks for each unknown kid, refuses `at+jwt`, and does not check `aud`.
 */
public final class WxmintVerifier implements AutoCloseable {

	private static final long LEEWAY = 60; // seconds by which clocks may differ; Spring's default too
	private static final int LONGEST_TOKEN = 8 << 10; // characters; wxmint's have some 500
	private static final long LONGEST_LIFE = 30 * 86_400; // seconds; no wxmint can be set to more
	// No token of wxmint's has any of these.
	private static final List<String> ODD = List.of("crit", "jwk", "jku", "x5u", "x5c", "zip", "enc", "b64", "cty");
	private static final MappedJwtClaimSetConverter CLAIMS = MappedJwtClaimSetConverter.withDefaults(Collections.emptyMap());

	private final String issuer;
	private final String audience;
	private final Keys<Key> keys;
	private final Revocations revocations;
	private final ScheduledExecutorService follower;

	/** A key of the JWKS, and the one algorithm that it is for. */
	private static final class Key {

		private final JWSAlgorithm algorithm;
		private final JWSVerifier verifier;

		/** ES256 and RS256 are what Nimbus verifies by itself; EdDSA would need Tink. */
		Key(JWK key) throws JOSEException {
			algorithm = key.getAlgorithm() == null ? null : JWSAlgorithm.parse(key.getAlgorithm().getName());
			verifier = JWSAlgorithm.ES256.equals(algorithm) ? new ECDSAVerifier(key.toECKey())
					: JWSAlgorithm.RS256.equals(algorithm) && key.size() >= 2048 ? new RSASSAVerifier(key.toRSAKey()) : null;
			if (verifier == null || !verifier.supportedJWSAlgorithms().contains(algorithm)
					|| key.getKeyUse() != null && !key.getKeyUse().equals(KeyUse.SIGNATURE)
					|| key.getKeyOperations() != null && !key.getKeyOperations().contains(KeyOperation.VERIFY)) {
				throw new JOSEException("not a key that can be used");
			}
		}

	}

	/** @param closed whether it judges no token while the revocations that it knows are older than a minute */
	public WxmintVerifier(String issuer, String audience, boolean closed) {
		this.issuer = issuer;
		this.audience = audience;
		keys = new Keys<>(issuer, WxmintVerifier::usable);
		revocations = new Revocations(issuer, closed, keys, (text) -> {
			JWSObject page = JWSObject.parse(text);
			String kid = page.getHeader().getKeyID();
			if (keys.get(kid) == null) {
				throw new NoSuchElementException("a page of an unknown key");
			}
			return new Revocations.Page(kid, claims(page, List.of("revocations+jwt")));
		});
		follower = Executors.newSingleThreadScheduledExecutor((task) -> {
			Thread thread = new Thread(task, "wxmint");
			thread.setDaemon(true);
			return thread;
		});
		follower.scheduleWithFixedDelay(revocations, 0, Revocations.EVERY, TimeUnit.MILLISECONDS);
	}

	/**
	 * Never waits for the network.
	 * @throws BadJwtException for a bad token, which Spring answers with 401
	 * @throws OAuth2AuthenticationException if keys or revocations are not known, which Spring answers with 503: it is no
	 * JwtException, which would become 500
	 */
	public Jwt verify(String token) {
		if (revocations.unavailable()) {
			throw unavailable("the issuer's keys or revocations are not known");
		}
		try {
			check(token.length() <= LONGEST_TOKEN, "too long");
			JWSObject jws = JWSObject.parse(token);
			Map<String, Object> claims = claims(jws, List.of("at+jwt", "application/at+jwt"));
			checkClaims(jws.getHeader().getKeyID(), claims);
			return Jwt.withTokenValue(token)
				.headers((all) -> all.putAll(jws.getHeader().toJSONObject()))
				.claims((all) -> all.putAll(CLAIMS.convert(claims)))
				.build();
		}
		catch (Exception | StackOverflowError e) { // whatever the parsers throw
			throw new BadJwtException(e instanceof BadJwtException ? e.getMessage() : "malformed", e);
		}
	}

	/**
	 * Checks that a request of an account service comes from wxmint, and is what wxmint sent: docs/accounts.md, "Who asks?".
	 * Never waits for the network. Pass the path of these requests by Spring's resource server, which takes access tokens alone.
	 * @param authorization the value of the header, or null
	 * @param url the request's URL as wxmint has it: WXMINT_ACCOUNTS and the path, such as https://accounts.example.com/wxmint/users
	 * @param body the bytes as they came
	 * @throws BadJwtException if it is not wxmint's request: answer 401
	 * @throws OAuth2AuthenticationException if the issuer's keys are not known: answer 503
	 */
	public void verifyRequest(String authorization, String url, byte[] body) {
		if (keys.none()) {
			throw unavailable("the issuer's keys are not known");
		}
		try {
			check(authorization != null && authorization.startsWith("Bearer ") && authorization.length() <= LONGEST_TOKEN,
					"no request token");
			Map<String, Object> claims = claims(JWSObject.parse(authorization.substring("Bearer ".length())),
					List.of("wxmint-request+jwt"));
			check(issuer.equals(claims.get("iss")), "another issuer");
			// The service's base URL; a token for another service has another.
			check(claims.get("aud") instanceof String && url.startsWith(claims.get("aud") + "/"), "for another service");
			long now = System.currentTimeMillis() / 1000;
			check(Revocations.time(claims.get("exp")) > now - LEEWAY, "expired");
			check(Revocations.time(claims.get("iat")) <= now + LEEWAY, "issued in the future");
			check(claims.get("jti") instanceof String, "no jti");
			byte[] digest = MessageDigest.getInstance("SHA-256").digest(body);
			String bodyHash = Base64.getUrlEncoder().withoutPadding().encodeToString(digest);
			check("POST".equals(claims.get("htm")) && url.equals(claims.get("htu")), "of another method or URL");
			check(bodyHash.equals(claims.get("body_sha256")), "of another body");
		}
		catch (Exception | StackOverflowError e) { // whatever the parsers throw
			throw new BadJwtException(e instanceof BadJwtException ? e.getMessage() : "malformed", e);
		}
	}

	private static OAuth2AuthenticationException unavailable(String why) {
		Servlets.retryAfter();
		return new OAuth2AuthenticationException(new BearerTokenError("temporarily_unavailable",
				HttpStatus.SERVICE_UNAVAILABLE, why, null));
	}

	/** How many seconds ago the issuer signed what is known of its revocations; for your metrics. */
	public long revocationsAge() {
		return revocations.age();
	}

	@Override
	public void close() {
		follower.shutdownNow();
	}

	private void checkClaims(String kid, Map<String, Object> claims) throws Exception {
		check(issuer.equals(claims.get("iss")), "another issuer");
		Object aud = claims.get("aud");
		check(audience.equals(aud) || aud instanceof List && ((List<?>) aud).contains(audience), "another audience");
		long now = System.currentTimeMillis() / 1000;
		long expires = Revocations.time(claims.get("exp"));
		check(expires > now - LEEWAY, "expired");
		check(!claims.containsKey("nbf") || Revocations.time(claims.get("nbf")) <= now + LEEWAY, "not valid yet");
		long issued = Revocations.time(claims.get("iat"));
		check(issued <= now + LEEWAY, "issued in the future");
		check(expires > issued && expires - issued <= LONGEST_LIFE, "no such life");
		for (String name : List.of("sub", "client_id", "jti")) {
			check(claims.get(name) instanceof String && !"".equals(claims.get(name)), "no " + name);
		}
		check(!revocations.have(kid, (String) claims.get("sub"), (String) claims.get("client_id"), (String) claims.get("jti"),
				issued), "revoked");
	}

	/** Of a text that the key which it names has signed by that key's algorithm, and of one of these types. */
	private Map<String, Object> claims(JWSObject jws, List<String> types) throws JOSEException, ParseException {
		JWSHeader header = jws.getHeader();
		check(header.getType() != null && types.contains(header.getType().getType()), "another typ");
		// As it was sent: Nimbus' own map lacks a member that is empty or null.
		Map<String, Object> sent = JSONObjectUtils.parse(header.toBase64URL().decodeToString());
		check(Collections.disjoint(sent.keySet(), ODD), "an unexpected member of the header");
		Key key = keys.get(header.getKeyID());
		check(key != null, "an unknown key");
		check(key.algorithm.equals(header.getAlgorithm()), "not the key's algorithm");
		check(jws.verify(key.verifier), "another signature");
		Map<String, Object> claims = jws.getPayload().toJSONObject();
		check(claims != null, "malformed");
		return claims;
	}

	/** Nimbus reads no key of a set that has one bad key. */
	@SuppressWarnings("unchecked")
	private static Map<String, Key> usable(String set) throws ParseException {
		Map<String, Key> usable = new HashMap<>();
		for (Object member : (List<?>) JSONObjectUtils.parse(set).get("keys")) {
			try {
				JWK key = JWK.parse((Map<String, Object>) member);
				usable.put(key.getKeyID(), new Key(key));
			}
			catch (ParseException | JOSEException | RuntimeException e) { // It spoils itself only.
			}
		}
		return usable;
	}

	private static void check(boolean holds, String otherwise) {
		if (!holds) {
			throw new BadJwtException(otherwise);
		}
	}

}

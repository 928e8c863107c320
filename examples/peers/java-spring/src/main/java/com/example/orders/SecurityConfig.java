package com.example.orders;

import java.text.ParseException;
import java.time.Duration;
import java.time.Instant;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.NoSuchElementException;
import java.util.Set;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;

import com.nimbusds.jose.JOSEException;
import com.nimbusds.jose.JOSEObjectType;
import com.nimbusds.jose.JWSAlgorithm;
import com.nimbusds.jose.KeySourceException;
import com.nimbusds.jose.jwk.AsymmetricJWK;
import com.nimbusds.jose.jwk.JWK;
import com.nimbusds.jose.jwk.KeyOperation;
import com.nimbusds.jose.jwk.KeyUse;
import com.nimbusds.jose.proc.DefaultJOSEObjectTypeVerifier;
import com.nimbusds.jose.proc.SecurityContext;
import com.nimbusds.jose.util.JSONObjectUtils;
import com.nimbusds.jwt.SignedJWT;
import com.nimbusds.jwt.proc.DefaultJWTProcessor;

import jakarta.servlet.DispatcherType;
import jakarta.servlet.http.HttpServletResponse;

import org.springframework.beans.factory.annotation.Value;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;
import org.springframework.http.HttpHeaders;
import org.springframework.security.authentication.AuthenticationServiceException;
import org.springframework.security.config.Customizer;
import org.springframework.security.config.annotation.web.builders.HttpSecurity;
import org.springframework.security.config.annotation.web.configuration.EnableWebSecurity;
import org.springframework.security.config.http.SessionCreationPolicy;
import org.springframework.security.oauth2.core.DelegatingOAuth2TokenValidator;
import org.springframework.security.oauth2.core.OAuth2AuthenticationException;
import org.springframework.security.oauth2.core.OAuth2Error;
import org.springframework.security.oauth2.core.OAuth2TokenValidator;
import org.springframework.security.oauth2.core.OAuth2TokenValidatorResult;
import org.springframework.security.oauth2.jwt.Jwt;
import org.springframework.security.oauth2.jwt.JwtClaimValidator;
import org.springframework.security.oauth2.jwt.JwtDecoder;
import org.springframework.security.oauth2.jwt.JwtException;
import org.springframework.security.oauth2.jwt.JwtValidators;
import org.springframework.security.oauth2.jwt.NimbusJwtDecoder;
import org.springframework.security.oauth2.server.resource.BearerTokenErrors;
import org.springframework.security.oauth2.server.resource.web.BearerTokenResolver;
import org.springframework.security.oauth2.server.resource.web.DefaultBearerTokenResolver;
import org.springframework.security.oauth2.server.resource.web.authentication.BearerTokenAuthenticationFilter;
import org.springframework.security.web.SecurityFilterChain;

@Configuration
@EnableWebSecurity
class SecurityConfig {

	private static final Duration LEEWAY = Duration.ofSeconds(60); // by how much clocks may differ; Spring's default too
	// Of wxmint's keys: never none, never HS256. (Nimbus wants Tink for EdDSA.)
	private static final Set<JWSAlgorithm> ALGORITHMS = Set.of(JWSAlgorithm.ES256, JWSAlgorithm.RS256);

	@Bean
	SecurityFilterChain chain(HttpSecurity http) throws Exception {
		return http
			.addFilterBefore((request, response, next) -> {
				try {
					next.doFilter(request, response);
				}
				catch (AuthenticationServiceException e) { // The decoder cannot judge the token yet. Spring would answer 500.
					((HttpServletResponse) response).setHeader(HttpHeaders.RETRY_AFTER, "5");
					((HttpServletResponse) response).setStatus(HttpServletResponse.SC_SERVICE_UNAVAILABLE);
				}
			}, BearerTokenAuthenticationFilter.class)
			.authorizeHttpRequests((requests) -> requests
				.dispatcherTypeMatchers(DispatcherType.ERROR).permitAll() // or each error of a public path would be 401
				.requestMatchers("/public/**").permitAll()
				.anyRequest().authenticated()) // what nobody thought of is closed
			.oauth2ResourceServer((server) -> server
				.bearerTokenResolver(oneToken())
				.jwt(Customizer.withDefaults()))
			.sessionManagement((sessions) -> sessions.sessionCreationPolicy(SessionCreationPolicy.STATELESS))
			.csrf((csrf) -> csrf.disable()) // there are no cookies
			.build();
	}

	/** Spring reads the first Authorization header; of two, a proxy in front may have looked at the other. */
	private static BearerTokenResolver oneToken() {
		DefaultBearerTokenResolver resolver = new DefaultBearerTokenResolver();
		return (request) -> {
			if (Collections.list(request.getHeaders(HttpHeaders.AUTHORIZATION)).size() > 1) {
				throw new OAuth2AuthenticationException(BearerTokenErrors.invalidRequest("several Authorization headers"));
			}
			return resolver.resolve(request);
		};
	}

	@Bean
	JwtDecoder decoder(Keys<JWK> keys, Revocations revocations, @Value("${wxmint.issuer}") String issuer,
			@Value("${wxmint.audience}") String audience) {
		NimbusJwtDecoder decoder = new NimbusJwtDecoder(processor(keys, "at+jwt", "application/at+jwt"));
		OAuth2TokenValidator<Jwt> notEnded = (token) -> revocations.have((String) token.getHeaders().get("kid"),
				token.getSubject(), token.getClaimAsString("client_id"), token.getId(),
				token.getIssuedAt().getEpochSecond())
						? OAuth2TokenValidatorResult.failure(new OAuth2Error("invalid_token", "ended", null))
						: OAuth2TokenValidatorResult.success();
		OAuth2TokenValidator<Jwt> valid = validator(issuer, audience);
		// Only a token that is valid otherwise has all that a revocation can name.
		decoder.setJwtValidator((token) -> {
			OAuth2TokenValidatorResult result = valid.validate(token);
			return result.hasErrors() ? result : notEnded.validate(token);
		});
		return (token) -> {
			if (revocations.unavailable()) {
				throw new JwtException("keys or revocations are not known");
			}
			return decoder.decode(token);
		};
	}

	@Bean
	Keys<JWK> keys(@Value("${wxmint.issuer}") String issuer) {
		return new Keys<>(issuer, SecurityConfig::usable);
	}

	/** What was ended before it expired. One thread asks for the keys and for this. */
	@Bean
	Revocations revocations(Keys<JWK> keys, @Value("${wxmint.issuer}") String issuer) {
		DefaultJWTProcessor<SecurityContext> processor = processor(keys, "revocations+jwt");
		Revocations revocations = new Revocations(issuer, keys, (page) -> {
			SignedJWT jwt = SignedJWT.parse(page);
			String kid = jwt.getHeader().getKeyID();
			if (keys.get(kid) == null) {
				throw new NoSuchElementException("a page of an unknown key");
			}
			processor.process(jwt, null);
			// Nimbus compares a typ in any case.
			if (!jwt.getHeader().getType().getType().equals("revocations+jwt")) {
				throw new IllegalArgumentException("not a page");
			}
			return new Revocations.Page(kid, jwt.getPayload().toJSONObject());
		});
		ScheduledExecutorService follower = Executors.newSingleThreadScheduledExecutor((task) -> {
			Thread thread = new Thread(task, "wxmint");
			thread.setDaemon(true);
			return thread;
		});
		follower.scheduleWithFixedDelay(revocations, 0, Revocations.EVERY, TimeUnit.MILLISECONDS);
		return revocations;
	}

	private static DefaultJWTProcessor<SecurityContext> processor(Keys<JWK> keys, String... types) {
		DefaultJWTProcessor<SecurityContext> processor = new DefaultJWTProcessor<>();
		// The key that the token names, and its own algorithm: none where it names none.
		processor.setJWSKeySelector((header, context) -> {
			JWK key = keys.get(header.getKeyID());
			try {
				return key == null || !header.getAlgorithm().equals(key.getAlgorithm())
						? List.of() : List.of(((AsymmetricJWK) key).toPublicKey());
			}
			catch (JOSEException e) {
				throw new KeySourceException(e.getMessage(), e);
			}
		});
		// Nimbus would take "JWT" alone.
		processor.setJWSTypeVerifier(new DefaultJOSEObjectTypeVerifier<>(
				Arrays.stream(types).map(JOSEObjectType::new).toArray(JOSEObjectType[]::new)));
		processor.setJWTClaimsSetVerifier((claims, context) -> { }); // by the validators below, and by Revocations
		return processor;
	}

	/** Nimbus reads no key of a set that has one bad key. */
	private static Map<String, JWK> usable(String set) throws ParseException {
		Map<String, JWK> usable = new HashMap<>();
		for (Object member : (List<?>) JSONObjectUtils.parse(set).get("keys")) {
			try {
				JWK key = JWK.parse(JSONObjectUtils.toJSONString((Map<String, ?>) member));
				int size = JWSAlgorithm.RS256.equals(key.getAlgorithm()) ? 2048 : 256;
				if (ALGORITHMS.contains(key.getAlgorithm()) && key instanceof AsymmetricJWK && key.size() >= size
						&& (key.getKeyUse() == null || key.getKeyUse().equals(KeyUse.SIGNATURE))
						&& (key.getKeyOperations() == null || key.getKeyOperations().contains(KeyOperation.VERIFY))) {
					usable.put(key.getKeyID(), key);
				}
			}
			catch (ParseException | RuntimeException e) { // It spoils itself only.
			}
		}
		return usable;
	}

	private static OAuth2TokenValidator<Jwt> validator(String issuer, String audience) {
		OAuth2TokenValidator<Jwt> accessToken = JwtValidators.createAtJwtValidator() // RFC 9068: typ, exp, iat, sub, jti
			.issuer(issuer)
			.audience(audience)
			// Any app of the issuer's; use clientId("wx…") where one alone is meant.
			.validators((all) -> all.put("client_id",
					new JwtClaimValidator<Object>("client_id", (app) -> app instanceof String && !((String) app).isEmpty())))
			.build();
		OAuth2TokenValidator<Jwt> issuedByNow = new JwtClaimValidator<Instant>("iat",
				(issued) -> issued != null && !issued.isAfter(Instant.now().plus(LEEWAY)));
		OAuth2TokenValidator<Jwt> plainHeader = SecurityConfig::plainHeader;
		return new DelegatingOAuth2TokenValidator<>(accessToken, issuedByNow, plainHeader);
	}

	/** No token of ours has any of these. Nimbus refuses a crit that it does not know, and obeys no key of a token's own. */
	private static OAuth2TokenValidatorResult plainHeader(Jwt token) {
		for (String name : List.of("crit", "jwk", "jku", "x5u", "x5c", "zip", "enc", "b64", "cty")) {
			if (token.getHeaders().containsKey(name)) {
				return OAuth2TokenValidatorResult.failure(new OAuth2Error("invalid_token", "its header has " + name, null));
			}
		}
		return OAuth2TokenValidatorResult.success();
	}

}

package com.example.orders;

import java.net.MalformedURLException;
import java.net.URI;
import java.time.Duration;
import java.time.Instant;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Set;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;

import com.nimbusds.jose.JOSEObjectType;
import com.nimbusds.jose.JWSAlgorithm;
import com.nimbusds.jose.jwk.JWK;
import com.nimbusds.jose.jwk.source.JWKSource;
import com.nimbusds.jose.jwk.source.JWKSourceBuilder;
import com.nimbusds.jose.jwk.source.RateLimitReachedException;
import com.nimbusds.jose.proc.DefaultJOSEObjectTypeVerifier;
import com.nimbusds.jose.proc.JWSKeySelector;
import com.nimbusds.jose.proc.JWSVerificationKeySelector;
import com.nimbusds.jose.proc.SecurityContext;
import com.nimbusds.jose.util.DefaultResourceRetriever;
import com.nimbusds.jwt.SignedJWT;
import com.nimbusds.jwt.proc.DefaultJWTProcessor;

import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;

import org.springframework.beans.factory.annotation.Value;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;
import org.springframework.http.HttpHeaders;
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

	@Bean
	SecurityFilterChain chain(HttpSecurity http, Ends ends) throws Exception {
		return http
			.addFilterBefore((request, response, next) -> {
				if (ends.unavailable() && ((HttpServletRequest) request).getHeader(HttpHeaders.AUTHORIZATION) != null) {
					((HttpServletResponse) response).setHeader(HttpHeaders.RETRY_AFTER, "5");
					((HttpServletResponse) response).sendError(HttpServletResponse.SC_SERVICE_UNAVAILABLE);
					return;
				}
				next.doFilter(request, response);
			}, BearerTokenAuthenticationFilter.class)
			.authorizeHttpRequests((requests) -> requests
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
	JwtDecoder decoder(JWKSource<SecurityContext> keys, Ends ends, @Value("${wxmint.issuer}") String issuer,
			@Value("${wxmint.audience}") String audience) {
		NimbusJwtDecoder decoder = new NimbusJwtDecoder(processor(keys, "at+jwt", "application/at+jwt"));
		OAuth2TokenValidator<Jwt> notEnded = (token) -> ends.have((String) token.getHeaders().get("kid"),
				token.getSubject(), token.getClaimAsString("client_id"), token.getId(),
				token.getIssuedAt().getEpochSecond())
						? OAuth2TokenValidatorResult.failure(new OAuth2Error("invalid_token", "ended", null))
						: OAuth2TokenValidatorResult.success();
		OAuth2TokenValidator<Jwt> valid = validator(issuer, audience);
		// Only a token that is valid otherwise has all that an end can name.
		decoder.setJwtValidator((token) -> {
			OAuth2TokenValidatorResult result = valid.validate(token);
			return result.hasErrors() ? result : notEnded.validate(token);
		});
		return decoder;
	}

	/** What was ended before it expired: Ends.java asks for it, in a thread of its own. */
	@Bean
	Ends ends(JWKSource<SecurityContext> keys, @Value("${wxmint.issuer}") String issuer) {
		DefaultJWTProcessor<SecurityContext> processor = processor(keys, "revocations+jwt");
		Ends ends = new Ends(issuer, (page) -> {
			SignedJWT jwt = SignedJWT.parse(page);
			processor.process(jwt, null);
			// Nimbus compares a typ in any case.
			if (!jwt.getHeader().getType().getType().equals("revocations+jwt")) {
				throw new IllegalArgumentException("not a page");
			}
			return new Ends.Page(jwt.getHeader().getKeyID(), jwt.getPayload().toJSONObject());
		});
		ScheduledExecutorService follower = Executors.newSingleThreadScheduledExecutor((task) -> {
			Thread thread = new Thread(task, "wxmint-ends");
			thread.setDaemon(true);
			return thread;
		});
		follower.scheduleWithFixedDelay(ends, 0, Ends.EVERY, TimeUnit.MILLISECONDS);
		return ends;
	}

	private static DefaultJWTProcessor<SecurityContext> processor(JWKSource<SecurityContext> keys, String... types) {
		DefaultJWTProcessor<SecurityContext> processor = new DefaultJWTProcessor<>();
		// The algorithms of wxmint's keys: never none, never HS256. (Nimbus wants Tink for EdDSA.)
		JWSKeySelector<SecurityContext> byName =
				new JWSVerificationKeySelector<>(Set.of(JWSAlgorithm.ES256, JWSAlgorithm.RS256), keys);
		// Nimbus would try each key for a token that names none, and Ends would not know which key was used.
		processor.setJWSKeySelector((header, context) -> header.getKeyID() == null
				? List.of() : byName.selectJWSKeys(header, context));
		// Nimbus would take "JWT" alone.
		processor.setJWSTypeVerifier(new DefaultJOSEObjectTypeVerifier<>(
				Arrays.stream(types).map(JOSEObjectType::new).toArray(JOSEObjectType[]::new)));
		processor.setJWTClaimsSetVerifier((claims, context) -> { }); // by the validators below, and by Ends
		return processor;
	}

	/**
	 * The keys: fetched ahead of the end of five minutes, kept for a day while the issuer is away. wxmint publishes a key
	 * 30 minutes before it signs, so that an unknown kid is a stranger's; Nimbus fetches for one all the same, here twice
	 * in ten seconds, where Spring's own decoder has no limit. More of them find no key (401), rather than an error (500).
	 */
	@Bean
	JWKSource<SecurityContext> keys(@Value("${wxmint.issuer}") String issuer) throws MalformedURLException {
		DefaultResourceRetriever retriever = new DefaultResourceRetriever(2_000, 5_000, 64 * 1024);
		JWKSource<SecurityContext> fetched = JWKSourceBuilder
			.<SecurityContext>create(URI.create(issuer + "/.well-known/jwks.json").toURL(), retriever)
			.cache(Duration.ofMinutes(5).toMillis(), Duration.ofSeconds(10).toMillis())
			.refreshAheadCache(Duration.ofMinutes(1).toMillis(), true)
			.rateLimited(Duration.ofSeconds(10).toMillis())
			.outageTolerant(Duration.ofHours(24).toMillis())
			.build();
		AtomicBoolean hasKeys = new AtomicBoolean();
		return (selector, context) -> {
			try {
				List<JWK> found = fetched.get(selector, context);
				hasKeys.compareAndSet(false, !found.isEmpty());
				return found;
			}
			catch (RateLimitReachedException e) {
				if (hasKeys.get()) {
					return List.of();
				}
				throw e;
			}
		};
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

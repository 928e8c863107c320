package com.example.orders;

import java.net.MalformedURLException;
import java.net.URI;
import java.time.Duration;
import java.time.Instant;
import java.util.Collections;
import java.util.List;
import java.util.Set;

import com.nimbusds.jose.JOSEObjectType;
import com.nimbusds.jose.JWSAlgorithm;
import com.nimbusds.jose.jwk.source.JWKSource;
import com.nimbusds.jose.jwk.source.JWKSourceBuilder;
import com.nimbusds.jose.proc.DefaultJOSEObjectTypeVerifier;
import com.nimbusds.jose.proc.JWSVerificationKeySelector;
import com.nimbusds.jose.proc.SecurityContext;
import com.nimbusds.jose.util.DefaultResourceRetriever;
import com.nimbusds.jwt.proc.DefaultJWTProcessor;

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
import org.springframework.security.web.SecurityFilterChain;

@Configuration
@EnableWebSecurity
class SecurityConfig {

	private static final Duration LEEWAY = Duration.ofSeconds(60); // by how much clocks may differ; Spring's default too

	@Bean
	SecurityFilterChain chain(HttpSecurity http) throws Exception {
		return http
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
	JwtDecoder decoder(JWKSource<SecurityContext> keys, @Value("${wxmint.issuer}") String issuer,
			@Value("${wxmint.audience}") String audience) {
		DefaultJWTProcessor<SecurityContext> processor = new DefaultJWTProcessor<>();
		// The algorithms of wxmint's keys: never none, never HS256. (Nimbus wants Tink for EdDSA.)
		processor.setJWSKeySelector(
				new JWSVerificationKeySelector<>(Set.of(JWSAlgorithm.ES256, JWSAlgorithm.RS256), keys));
		// Nimbus would take "JWT" alone.
		processor.setJWSTypeVerifier(new DefaultJOSEObjectTypeVerifier<>(new JOSEObjectType("at+jwt"),
				new JOSEObjectType("application/at+jwt")));
		processor.setJWTClaimsSetVerifier((claims, context) -> { }); // by the validators below
		NimbusJwtDecoder decoder = new NimbusJwtDecoder(processor);
		decoder.setJwtValidator(validator(issuer, audience));
		return decoder;
	}

	/**
	 * The keys: fetched ahead of the end of five minutes, kept while the issuer is away. wxmint publishes a key 30 minutes
	 * before it signs, so that an unknown kid is a stranger's; Nimbus fetches for one all the same, here once in ten
	 * seconds, where Spring's own decoder has no limit.
	 */
	@Bean
	JWKSource<SecurityContext> keys(@Value("${wxmint.issuer}") String issuer) throws MalformedURLException {
		DefaultResourceRetriever retriever = new DefaultResourceRetriever(2_000, 5_000, 64 * 1024);
		return JWKSourceBuilder
			.<SecurityContext>create(URI.create(issuer + "/.well-known/jwks.json").toURL(), retriever)
			.cache(Duration.ofMinutes(5).toMillis(), Duration.ofSeconds(10).toMillis())
			.refreshAheadCache(Duration.ofMinutes(1).toMillis(), true)
			.rateLimited(Duration.ofSeconds(10).toMillis())
			.outageTolerantForever()
			.build();
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

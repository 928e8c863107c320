package dev.wxmint.spring;

import java.util.concurrent.atomic.AtomicInteger;

import reactor.core.publisher.Mono;

import org.springframework.boot.autoconfigure.AutoConfiguration;
import org.springframework.boot.autoconfigure.condition.ConditionalOnMissingBean;
import org.springframework.boot.autoconfigure.condition.ConditionalOnWebApplication;
import org.springframework.boot.autoconfigure.condition.ConditionalOnWebApplication.Type;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;
import org.springframework.core.Ordered;
import org.springframework.core.annotation.Order;
import org.springframework.core.env.Environment;
import org.springframework.http.HttpHeaders;
import org.springframework.security.oauth2.jwt.JwtDecoder;
import org.springframework.security.oauth2.jwt.ReactiveJwtDecoder;
import org.springframework.security.oauth2.server.resource.web.BearerTokenResolver;
import org.springframework.web.server.ServerWebInputException;
import org.springframework.web.server.WebFilter;

/**
 * The decoder that Spring's resource server uses, in place of its own. With Spring Boot 2.7 to 4, which name their configuration
 * differently, for servlets and for WebFlux.
 */
@AutoConfiguration(beforeName = {
		"org.springframework.boot.autoconfigure.security.oauth2.resource.servlet.OAuth2ResourceServerAutoConfiguration",
		"org.springframework.boot.autoconfigure.security.oauth2.resource.reactive.ReactiveOAuth2ResourceServerAutoConfiguration",
		"org.springframework.boot.security.oauth2.server.resource.autoconfigure.OAuth2ResourceServerAutoConfiguration",
		"org.springframework.boot.security.oauth2.server.resource.autoconfigure.servlet.OAuth2ResourceServerAutoConfiguration",
		"org.springframework.boot.security.oauth2.server.resource.autoconfigure.reactive.ReactiveOAuth2ResourceServerAutoConfiguration" })
public class WxmintAutoConfiguration {

	// As WXMINT_ISSUER: who can change traffic over http could forge keys.
	private static final String ISSUER = "(https://[^/?#\\s]+|http://(127(\\.\\d{1,3}){3}|localhost|\\[::1])(:\\d+)?)"
			+ "(/[^?#\\s]*[^/?#\\s])?";

	@Bean
	@ConditionalOnMissingBean
	WxmintVerifier wxmintVerifier(Environment settings) {
		String issuer = required(settings, "wxmint.issuer", "your wxmint's WXMINT_ISSUER, byte for byte, as https://login.example.com");
		String audience = required(settings, "wxmint.audience", "one of your wxmint's WXMINT_AUDIENCE, or its WXMINT_ISSUER if it has none");
		String revocations = settings.getProperty("wxmint.revocations", "open");
		check(issuer.matches(ISSUER), "wxmint.issuer is an https URL (http only on loopback) without / at its end");
		check(revocations.matches("open|closed"), "wxmint.revocations is open or closed");
		return new WxmintVerifier(issuer, audience, revocations.equals("closed"));
	}

	@Bean
	@ConditionalOnMissingBean
	JwtDecoder wxmintDecoder(WxmintVerifier verifier) {
		return verifier::verify;
	}

	@Configuration(proxyBeanMethods = false)
	@ConditionalOnWebApplication(type = Type.SERVLET)
	static class ForServlets {

		@Bean
		@ConditionalOnMissingBean
		BearerTokenResolver wxmintTokenResolver() {
			return Servlets.oneToken();
		}

	}

	@Configuration(proxyBeanMethods = false)
	@ConditionalOnWebApplication(type = Type.REACTIVE)
	static class ForWebFlux {

		/** At once, on the event loop: it only computes. */
		@Bean
		@ConditionalOnMissingBean
		ReactiveJwtDecoder wxmintReactiveDecoder(WxmintVerifier verifier) {
			return (token) -> Mono.fromCallable(() -> verifier.verify(token));
		}

		/** Refuses a second Authorization header, as {@link Servlets} does, and says beside Spring's 503 when to ask again. */
		@Bean
		@Order(Ordered.HIGHEST_PRECEDENCE)
		WebFilter wxmintFilter() {
			return (exchange, next) -> {
				// What HttpHeaders and statuses have in Spring 5, 6 and 7 alike.
				AtomicInteger tokens = new AtomicInteger();
				exchange.getRequest().getHeaders().forEach((name, values) ->
						tokens.addAndGet(name.equalsIgnoreCase(HttpHeaders.AUTHORIZATION) ? values.size() : 0));
				if (tokens.get() > 1) {
					return Mono.error(new ServerWebInputException("several Authorization headers"));
				}
				exchange.getResponse().beforeCommit(() -> Mono.fromRunnable(() -> {
					HttpHeaders headers = exchange.getResponse().getHeaders();
					String refusal = headers.getFirst(HttpHeaders.WWW_AUTHENTICATE);
					if (refusal != null && refusal.contains("\"temporarily_unavailable\"")) {
						headers.set(HttpHeaders.RETRY_AFTER, "5");
					}
				}));
				return next.filter(exchange);
			};
		}

	}

	private static String required(Environment settings, String name, String form) {
		String value = settings.getProperty(name, "");
		check(!value.isEmpty(), name + " is missing: " + form);
		return value;
	}

	private static void check(boolean holds, String otherwise) {
		if (!holds) {
			throw new IllegalStateException(otherwise);
		}
	}

}

package com.example.gateway;

import reactor.core.publisher.Mono;

import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;
import org.springframework.security.config.Customizer;
import org.springframework.security.config.annotation.web.reactive.EnableWebFluxSecurity;
import org.springframework.security.config.web.server.ServerHttpSecurity;
import org.springframework.security.web.server.SecurityWebFilterChain;
import org.springframework.security.web.server.util.matcher.ServerWebExchangeMatcher.MatchResult;
import org.springframework.web.server.ServerWebExchange;

@Configuration
@EnableWebFluxSecurity
class SecurityConfig {

	@Bean
	SecurityWebFilterChain chain(ServerHttpSecurity http) {
		return http
			.authorizeExchange((requests) -> requests
				.matchers(SecurityConfig::isPublic).permitAll()
				.anyExchange().authenticated()) // what nobody thought of is closed
			.oauth2ResourceServer((server) -> server.jwt(Customizer.withDefaults())) // by the decoder of wxmint-spring
			.csrf((csrf) -> csrf.disable()) // there are no cookies
			.build();
	}

	/** A plain path alone, because back ends differ in what they make of /public/%c0%ae%c0%ae/orders or /public/..%20/orders. */
	private static Mono<MatchResult> isPublic(ServerWebExchange exchange) {
		String path = exchange.getRequest().getURI().getRawPath();
		return path.matches("/public(/[A-Za-z0-9_-][A-Za-z0-9._-]*)+") ? MatchResult.match() : MatchResult.notMatch();
	}

}

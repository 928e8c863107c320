package com.example.gateway;

import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.Set;

import reactor.core.publisher.Mono;

import org.springframework.cloud.gateway.filter.GatewayFilterChain;
import org.springframework.cloud.gateway.filter.GlobalFilter;
import org.springframework.core.Ordered;
import org.springframework.http.HttpHeaders;
import org.springframework.security.oauth2.jwt.Jwt;
import org.springframework.security.oauth2.server.resource.authentication.JwtAuthenticationToken;
import org.springframework.stereotype.Component;
import org.springframework.web.server.ServerWebExchange;

/** Tells the back end who sent the request, on open paths too: the client's own identity headers never pass. */
@Component
class IdentityFilter implements GlobalFilter, Ordered {

	private static final Set<String> IDENTITY = Set.of("x-user-id", "x-client-id", "x-token-id");

	/** Before whatever sends requests on: without an order, WebSockets would go past this filter. */
	@Override
	public int getOrder() {
		return Ordered.HIGHEST_PRECEDENCE;
	}

	@Override
	public Mono<Void> filter(ServerWebExchange exchange, GatewayFilterChain chain) {
		return exchange.getPrincipal()
			.ofType(JwtAuthenticationToken.class)
			.map((who) -> Optional.of(who.getToken()))
			.defaultIfEmpty(Optional.empty())
			.flatMap((token) -> chain.filter(exchange.mutate()
				.request((request) -> request.headers((headers) -> identify(headers, token)))
				.build()));
	}

	private static void identify(HttpHeaders headers, Optional<Jwt> token) {
		List<String> names = headers.headerSet().stream().map((header) -> header.getKey()).toList();
		names.stream().filter(IdentityFilter::isIdentity).forEach(headers::remove);
		headers.remove(HttpHeaders.CONNECTION); // The gateway would later drop each header that the client names here.
		if ("websocket".equalsIgnoreCase(headers.getUpgrade())) {
			headers.set(HttpHeaders.CONNECTION, HttpHeaders.UPGRADE);
		}
		headers.remove(HttpHeaders.AUTHORIZATION); // A back end that needs no token cannot lose it.
		token.ifPresent((jwt) -> {
			headers.set("X-User-Id", jwt.getSubject());
			headers.set("X-Client-Id", jwt.getClaimAsString("client_id"));
			headers.set("X-Token-Id", jwt.getId());
		});
	}

	/** PHP, WSGI and CGI read X_User_Id and X.User.Id as X-User-Id. */
	private static boolean isIdentity(String name) {
		return IDENTITY.contains(name.toLowerCase(Locale.ROOT).replaceAll("[^a-z0-9]", "-"));
	}

}

package com.example.orders;

import java.net.URI;

import jakarta.servlet.http.HttpServletRequest;

import org.springframework.beans.factory.annotation.Value;
import org.springframework.boot.autoconfigure.condition.ConditionalOnProperty;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;
import org.springframework.core.annotation.Order;
import org.springframework.security.config.annotation.web.builders.HttpSecurity;
import org.springframework.security.config.http.SessionCreationPolicy;
import org.springframework.security.web.SecurityFilterChain;

/** The website's pages, and what they ask. ScanController looks at the cookie; all other paths stay with OrdersApplication's chain. */
@Configuration
@ConditionalOnProperty("scan.client-id")
class SiteSecurity {

	@Bean
	@Order(1)
	SecurityFilterChain site(HttpSecurity http, @Value("${wxmint.issuer}") URI issuer) throws Exception {
		// The mini-program code is a picture of wxmint's.
		String policy = "default-src 'self'; frame-ancestors 'none'; img-src 'self' " + issuer.resolve("/");
		return http.securityMatcher("/", "/*.html", "/*.mjs", "/*.css", "/*.svg", "/scan", "/scan/token", "/me", "/logout")
			.authorizeHttpRequests((requests) -> requests
				.requestMatchers(SiteSecurity::isFromAnotherSite).denyAll()
				.anyRequest().permitAll())
			.headers((headers) -> headers.contentSecurityPolicy((content) -> content.policyDirectives(policy)))
			.sessionManagement((sessions) -> sessions.sessionCreationPolicy(SessionCreationPolicy.STATELESS))
			.csrf((csrf) -> csrf.disable()) // isFromAnotherSite, and SameSite of the cookies
			.logout((logout) -> logout.disable()) // /logout is ScanController's
			.build();
	}

	/** A request that changes something comes from our own pages. */
	private static boolean isFromAnotherSite(HttpServletRequest request) {
		String from = request.getHeader("Sec-Fetch-Site");
		return request.getMethod().equals("POST") && from != null && !from.equals("same-origin");
	}

}

package com.example.site;

import java.time.Duration;
import java.util.Map;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.context.annotation.Bean;
import org.springframework.security.config.annotation.web.builders.HttpSecurity;
import org.springframework.security.core.annotation.AuthenticationPrincipal;
import org.springframework.security.oauth2.client.OAuth2AuthorizedClient;
import org.springframework.security.oauth2.client.OAuth2AuthorizedClientManager;
import org.springframework.security.oauth2.client.OAuth2AuthorizedClientProviderBuilder;
import org.springframework.security.oauth2.client.annotation.RegisteredOAuth2AuthorizedClient;
import org.springframework.security.oauth2.client.oidc.authentication.OidcIdTokenDecoderFactory;
import org.springframework.security.oauth2.client.oidc.web.logout.OidcClientInitiatedLogoutSuccessHandler;
import org.springframework.security.oauth2.client.registration.ClientRegistration;
import org.springframework.security.oauth2.client.registration.ClientRegistrationRepository;
import org.springframework.security.oauth2.client.web.DefaultOAuth2AuthorizationRequestResolver;
import org.springframework.security.oauth2.client.web.DefaultOAuth2AuthorizedClientManager;
import org.springframework.security.oauth2.client.web.OAuth2AuthorizationRequestCustomizers;
import org.springframework.security.oauth2.client.web.OAuth2AuthorizedClientRepository;
import org.springframework.security.oauth2.core.oidc.user.OidcUser;
import org.springframework.security.oauth2.jose.jws.SignatureAlgorithm;
import org.springframework.security.oauth2.jwt.JwtDecoderFactory;
import org.springframework.security.web.SecurityFilterChain;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.RestController;

/** A site that logs people in by OpenID Connect, and knows nothing of wxmint but its address. */
@SpringBootApplication
@RestController
public class SiteApplication {
	public static void main(String[] args) {
		SpringApplication.run(SiteApplication.class, args);
	}

	@Bean
	SecurityFilterChain chain(HttpSecurity http, ClientRegistrationRepository registrations) throws Exception {
		var requests = new DefaultOAuth2AuthorizationRequestResolver(registrations, "/oauth2/authorization");
		requests.setAuthorizationRequestCustomizer(OAuth2AuthorizationRequestCustomizers.withPkce());
		var left = new OidcClientInitiatedLogoutSuccessHandler(registrations);
		left.setPostLogoutRedirectUri("{baseUrl}/left");
		return http.authorizeHttpRequests(paths -> paths.requestMatchers("/left").permitAll().anyRequest().authenticated())
			.oauth2Login(login -> login.authorizationEndpoint(at -> at.authorizationRequestResolver(requests)))
			.logout(logout -> logout.logoutSuccessHandler(left))
			.csrf(csrf -> csrf.disable())
			.build();
	}

	/** Spring takes RS256 for granted. */
	@Bean
	JwtDecoderFactory<ClientRegistration> idTokens() {
		var decoders = new OidcIdTokenDecoderFactory();
		decoders.setJwsAlgorithmResolver(client -> SignatureAlgorithm.ES256);
		return decoders;
	}

	/** Renews at each request, as if the access token had expired. */
	@Bean
	OAuth2AuthorizedClientManager tokens(ClientRegistrationRepository registrations, OAuth2AuthorizedClientRepository kept) {
		var manager = new DefaultOAuth2AuthorizedClientManager(registrations, kept);
		manager.setAuthorizedClientProvider(OAuth2AuthorizedClientProviderBuilder.builder()
			.authorizationCode()
			.refreshToken(refresh -> refresh.clockSkew(Duration.ofDays(2)))
			.build());
		return manager;
	}

	@GetMapping("/me")
	Map<String, Object> me(@AuthenticationPrincipal OidcUser user) {
		return Map.of("sub", user.getSubject(), "sid", user.getClaimAsString("sid"));
	}

	@GetMapping("/renewed")
	Map<String, Object> renewed(@RegisteredOAuth2AuthorizedClient("wxmint") OAuth2AuthorizedClient client) {
		return Map.of("access_token", client.getAccessToken().getTokenValue());
	}

	@GetMapping("/left")
	Map<String, Object> left() {
		return Map.of();
	}
}

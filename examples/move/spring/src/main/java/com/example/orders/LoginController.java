package com.example.orders;

import java.net.http.HttpClient;
import java.time.Duration;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

import jakarta.servlet.http.HttpServletRequest;

import org.springframework.beans.factory.annotation.Value;
import org.springframework.boot.autoconfigure.condition.ConditionalOnProperty;
import org.springframework.context.annotation.Bean;
import org.springframework.core.ParameterizedTypeReference;
import org.springframework.core.annotation.Order;
import org.springframework.http.HttpStatus;
import org.springframework.http.MediaType;
import org.springframework.http.ResponseEntity;
import org.springframework.http.client.JdkClientHttpRequestFactory;
import org.springframework.security.config.annotation.web.builders.HttpSecurity;
import org.springframework.security.config.http.SessionCreationPolicy;
import org.springframework.security.web.SecurityFilterChain;
import org.springframework.web.bind.annotation.ExceptionHandler;
import org.springframework.web.bind.annotation.PostMapping;
import org.springframework.web.bind.annotation.RequestBody;
import org.springframework.web.bind.annotation.RestController;
import org.springframework.web.client.RestClient;
import org.springframework.web.client.RestClientException;

/**
 * Step 3 of docs/move.md: with LOGIN_AT_WXMINT=true, the login that the published pages know is done by wxmint. Let your own
 * controller have the opposite condition: havingValue = "false", matchIfMissing = true.
 */
@RestController
@ConditionalOnProperty(name = "login.at-wxmint", havingValue = "true")
class LoginController {

	record Login(String code) { }

	record LoginAtWxmint(String code, String appid) { }

	private final RestClient wxmint;

	private final String appid;

	LoginController(@Value("${wxmint.issuer}") String issuer, @Value("${appid}") String appid) {
		this.appid = appid;
		HttpClient client = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).connectTimeout(Duration.ofSeconds(3)).build();
		JdkClientHttpRequestFactory requests = new JdkClientHttpRequestFactory(client);
		requests.setReadTimeout(Duration.ofSeconds(10));
		this.wxmint = RestClient.builder().baseUrl(issuer).requestFactory(requests).build();
	}

	/** The answer has the members that the pages read. */
	@PostMapping("/login")
	ResponseEntity<Map<String, Object>> login(@RequestBody Login login, HttpServletRequest request) {
		return wxmint.post().uri("/login").contentType(MediaType.APPLICATION_JSON)
			.header("X-Forwarded-For", forwardedFor(request))
			.body(new LoginAtWxmint(login.code(), appid))
			.exchange((asked, answer) -> {
				Map<String, Object> said = answer.bodyTo(new ParameterizedTypeReference<Map<String, Object>>() { });
				boolean in = answer.getStatusCode().is2xxSuccessful();
				if (said == null || said.get(in ? "access_token" : "code") == null) {
					throw new RestClientException("not wxmint's answer");
				}
				Map<String, Object> told = new HashMap<>();
				told.put(in ? "token" : "error", said.get(in ? "access_token" : "detail"));
				told.put(in ? "userId" : "code", said.get(in ? "user_id" : "code"));
				return ResponseEntity.status(answer.getStatusCode()).body(told);
			});
	}

	/** Nobody answers, or not wxmint: a proxy before it, perhaps. */
	@ExceptionHandler
	ResponseEntity<Void> unreachable(RestClientException e) {
		return ResponseEntity.status(HttpStatus.SERVICE_UNAVAILABLE).build();
	}

	/** By the phone's address wxmint counts logins: whom the proxies before this service have seen, and the last of them. */
	private static String forwardedFor(HttpServletRequest request) {
		List<String> seen = Collections.list(request.getHeaders("X-Forwarded-For"));
		seen.add(request.getRemoteAddr());
		return String.join(", ", seen);
	}

	/** Open also to a page that still sends its expired token. */
	@Bean
	@Order(1)
	static SecurityFilterChain open(HttpSecurity http) throws Exception {
		return http.securityMatcher("/login")
			.authorizeHttpRequests((requests) -> requests.anyRequest().permitAll())
			.sessionManagement((sessions) -> sessions.sessionCreationPolicy(SessionCreationPolicy.STATELESS))
			.csrf((csrf) -> csrf.disable())
			.build();
	}

}

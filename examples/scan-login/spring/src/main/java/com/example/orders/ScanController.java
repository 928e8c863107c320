package com.example.orders;

import java.net.URLEncoder;
import java.net.http.HttpClient;
import java.nio.charset.StandardCharsets;
import java.security.SecureRandom;
import java.time.Duration;
import java.util.Base64;
import java.util.HashMap;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;

import jakarta.servlet.http.Cookie;
import jakarta.servlet.http.HttpServletRequest;

import org.springframework.beans.factory.annotation.Value;
import org.springframework.boot.autoconfigure.condition.ConditionalOnProperty;
import org.springframework.core.ParameterizedTypeReference;
import org.springframework.http.HttpHeaders;
import org.springframework.http.HttpStatus;
import org.springframework.http.MediaType;
import org.springframework.http.ResponseCookie;
import org.springframework.http.ResponseEntity;
import org.springframework.http.client.JdkClientHttpRequestFactory;
import org.springframework.security.oauth2.core.OAuth2AuthenticationException;
import org.springframework.security.oauth2.jwt.BadJwtException;
import org.springframework.security.oauth2.jwt.Jwt;
import org.springframework.security.oauth2.jwt.JwtDecoder;
import org.springframework.util.LinkedMultiValueMap;
import org.springframework.util.MultiValueMap;
import org.springframework.web.bind.annotation.ExceptionHandler;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.PostMapping;
import org.springframework.web.bind.annotation.RequestParam;
import org.springframework.web.bind.annotation.RestController;
import org.springframework.web.client.HttpClientErrorException;
import org.springframework.web.client.RestClient;
import org.springframework.web.client.RestClientException;
import org.springframework.web.util.WebUtils;

/**
 * A website whose users log in by scanning with the mini program: a client of wxmint with a secret. The page polls here. The decoder
 * is that of wxmint-spring, so a ban logs out here within 10 s.
 */
@RestController
@ConditionalOnProperty("scan.client-id")
class ScanController {

	private static final String GRANT = "urn:ietf:params:oauth:grant-type:device_code";

	private record Pending(String deviceCode, long until) { }

	// The device codes of browsers that show a code, by the browser's cookie and the user code: two tabs show two codes. With
	// several replicas, keep them where all replicas find them.
	private final Map<String, Pending> pending = new ConcurrentHashMap<>();

	private final Set<String> asking = ConcurrentHashMap.newKeySet();

	private final SecureRandom random = new SecureRandom();

	private final RestClient wxmint;

	private final JwtDecoder tokens;

	private final String clientId;

	private final String clientSecret;

	private final boolean secure;

	ScanController(JwtDecoder tokens, @Value("${wxmint.issuer}") String issuer,
			@Value("${scan.client-id}") String clientId, @Value("${scan.client-secret}") String clientSecret,
			@Value("${scan.secure-cookies:true}") boolean secure) {
		this.tokens = tokens;
		this.clientId = clientId;
		this.clientSecret = clientSecret;
		this.secure = secure;
		HttpClient client = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).connectTimeout(Duration.ofSeconds(3)).build();
		JdkClientHttpRequestFactory requests = new JdkClientHttpRequestFactory(client);
		requests.setReadTimeout(Duration.ofSeconds(8));
		this.wxmint = RestClient.builder().baseUrl(issuer).requestFactory(requests).build();
	}

	@PostMapping("/scan")
	ResponseEntity<Map<String, Object>> start(HttpServletRequest request) {
		// The phone shows its owner who asks. Behind a proxy, set server.forward-headers-strategy.
		String browser = Objects.toString(request.getHeader(HttpHeaders.USER_AGENT), "");
		ResponseEntity<Map<String, Object>> answer = ask("/device_authorization",
				Map.of("browser_address", request.getRemoteAddr(), "browser_user_agent", browser));
		if (!answer.getStatusCode().is2xxSuccessful()) {
			return answer;
		}
		Map<String, Object> code = new HashMap<>(answer.getBody());
		String deviceCode = (String) code.remove("device_code");
		String scan = Objects.requireNonNullElseGet(cookie(request, "scan"), this::unguessable);
		long now = System.currentTimeMillis();
		pending.values().removeIf((other) -> other.until() < now);
		long until = now + ((Number) code.get("expires_in")).longValue() * 1_000;
		pending.put(scan + " " + code.get("user_code"), new Pending(deviceCode, until));
		return ResponseEntity.ok().header(HttpHeaders.SET_COOKIE, cookie("scan", scan, Duration.ofSeconds(-1))).body(code);
	}

	@PostMapping("/scan/token")
	ResponseEntity<Map<String, Object>> poll(HttpServletRequest request, @RequestParam("user_code") String userCode) {
		String name = cookie(request, "scan") + " " + userCode;
		Pending scan = pending.get(name);
		if (scan == null) {
			return ResponseEntity.badRequest().body(Map.of("error", "expired_token"));
		}
		// A device code gives one token. Asking once more, as a page that is loaded again would, ends that token.
		if (!asking.add(name)) {
			return ResponseEntity.badRequest().body(Map.of("error", "slow_down"));
		}
		try {
			ResponseEntity<Map<String, Object>> answer = ask("/token",
					Map.of("grant_type", GRANT, "device_code", scan.deviceCode()));
			if (!answer.getStatusCode().is2xxSuccessful()) {
				return answer;
			}
			pending.remove(name);
			String token = (String) answer.getBody().get("access_token");
			Duration life = Duration.ofSeconds(((Number) answer.getBody().get("expires_in")).longValue());
			String user = tokens.decode(token).getSubject();
			return ResponseEntity.ok().header(HttpHeaders.SET_COOKIE, cookie("token", token, life)).body(Map.of("user_id", user));
		}
		finally {
			asking.remove(name);
		}
	}

	/** Who is logged in. Begin each handler of yours like this. */
	@GetMapping("/me")
	Map<String, String> me(HttpServletRequest request) {
		String token = cookie(request, "token");
		if (token == null) {
			throw new BadJwtException("no token");
		}
		Jwt user = tokens.decode(token);
		if (!clientId.equals(user.getClaimAsString("client_id"))) {
			throw new BadJwtException("a token of another client");
		}
		return Map.of("user_id", user.getSubject());
	}

	/** The browser forgets the token in any case. 503 if wxmint has not ended it: whoever has a copy of it is still logged in. */
	@PostMapping("/logout")
	ResponseEntity<Void> logOut(HttpServletRequest request) {
		String token = cookie(request, "token");
		HttpStatus status = HttpStatus.NO_CONTENT;
		try {
			if (token != null) {
				wxmint.post().uri("/logout").headers((headers) -> headers.setBearerAuth(token)).retrieve().toBodilessEntity();
			}
		}
		catch (HttpClientErrorException.Unauthorized e) { // It had ended before.
		}
		catch (RestClientException e) {
			System.getLogger("scan").log(System.Logger.Level.WARNING, "wxmint has not taken a logout: " + e.getMessage());
			status = HttpStatus.SERVICE_UNAVAILABLE;
		}
		return ResponseEntity.status(status).header(HttpHeaders.SET_COOKIE, cookie("token", "", Duration.ZERO)).build();
	}

	@ExceptionHandler
	ResponseEntity<Void> notLoggedIn(BadJwtException e) {
		return ResponseEntity.status(HttpStatus.UNAUTHORIZED).header(HttpHeaders.SET_COOKIE, cookie("token", "", Duration.ZERO)).build();
	}

	/** The decoder knows no keys yet. It has set Retry-After. */
	@ExceptionHandler(OAuth2AuthenticationException.class)
	ResponseEntity<Map<String, Object>> withoutKeys() {
		return ResponseEntity.status(HttpStatus.SERVICE_UNAVAILABLE).body(Map.of("error", "temporarily_unavailable"));
	}

	/** wxmint does not answer. */
	@ExceptionHandler(RestClientException.class)
	ResponseEntity<Map<String, Object>> unavailable() {
		return ResponseEntity.status(HttpStatus.SERVICE_UNAVAILABLE).header(HttpHeaders.RETRY_AFTER, "5")
			.body(Map.of("error", "temporarily_unavailable"));
	}

	/** Asks as a client with a secret. A refusal is handed on as it is: the page reads its error and obeys its Retry-After. */
	private ResponseEntity<Map<String, Object>> ask(String path, Map<String, String> fields) {
		MultiValueMap<String, String> form = new LinkedMultiValueMap<>();
		form.setAll(fields);
		return wxmint.post().uri(path).contentType(MediaType.APPLICATION_FORM_URLENCODED)
			.headers((headers) -> headers.setBasicAuth(encoded(clientId), encoded(clientSecret)))
			.body(form)
			.exchange((asked, answer) -> {
				Map<String, Object> said = answer.bodyTo(new ParameterizedTypeReference<Map<String, Object>>() { });
				if (said == null) {
					throw new RestClientException("not wxmint's answer");
				}
				String after = answer.getHeaders().getFirst(HttpHeaders.RETRY_AFTER);
				HttpHeaders headers = new HttpHeaders();
				if (after != null) {
					headers.set(HttpHeaders.RETRY_AFTER, after);
				}
				return new ResponseEntity<>(said, headers, answer.getStatusCode());
			});
	}

	private static String encoded(String text) {
		return URLEncoder.encode(text, StandardCharsets.UTF_8);
	}

	private String unguessable() {
		byte[] bytes = new byte[32];
		random.nextBytes(bytes);
		return Base64.getUrlEncoder().withoutPadding().encodeToString(bytes);
	}

	/** Over https alone, and for this host alone. On one's own machine there is http. */
	private String named(String name) {
		return secure ? "__Host-" + name : name;
	}

	private String cookie(HttpServletRequest request, String name) {
		Cookie cookie = WebUtils.getCookie(request, named(name));
		return cookie == null ? null : cookie.getValue();
	}

	private String cookie(String name, String value, Duration life) {
		return ResponseCookie.from(named(name), value).httpOnly(true).secure(secure).sameSite("Lax").path("/").maxAge(life)
			.build().toString();
	}

}

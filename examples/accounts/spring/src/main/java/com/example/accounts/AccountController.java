package com.example.accounts;

import java.nio.charset.StandardCharsets;
import java.util.Collections;
import java.util.List;
import java.util.Map;

import dev.wxmint.spring.WxmintVerifier;

import org.springframework.beans.factory.annotation.Value;
import org.springframework.boot.json.JsonParserFactory;
import org.springframework.dao.DuplicateKeyException;
import org.springframework.http.HttpStatus;
import org.springframework.http.ResponseEntity;
import org.springframework.jdbc.core.JdbcTemplate;
import org.springframework.jdbc.support.GeneratedKeyHolder;
import org.springframework.security.oauth2.core.OAuth2AuthenticationException;
import org.springframework.security.oauth2.jwt.BadJwtException;
import org.springframework.web.bind.annotation.ExceptionHandler;
import org.springframework.web.bind.annotation.PostMapping;
import org.springframework.web.bind.annotation.RequestBody;
import org.springframework.web.bind.annotation.RequestHeader;
import org.springframework.web.bind.annotation.RestController;

/**
 * Answers wxmint's calls (docs/accounts.md) for a table of users whose ids are numbers. The answers are as wxmint wants them:
 * a wrapper such as {"code":0,"data":…} around them counts as an outage.
 */
@RestController
class AccountController {

	private final WxmintVerifier wxmint;
	private final JdbcTemplate database;
	private final String base; // as WXMINT_ACCOUNTS

	AccountController(WxmintVerifier wxmint, JdbcTemplate database, @Value("${accounts.url}") String base) {
		this.wxmint = wxmint;
		this.database = database;
		this.base = base;
	}

	/** The same key gets the same answer, also when the first one was lost on its way. */
	@PostMapping("/wxmint/users")
	Map<String, Object> user(@RequestHeader(value = "Authorization", required = false) String authorization,
			@RequestBody byte[] body) {
		Map<String, Object> asked = read(authorization, "/users", body);
		return Map.of("user_id", userOf((String) asked.get("idempotency_key")).id, "new_user", true);
	}

	@PostMapping("/wxmint/users/by-phone")
	Map<String, Object> userOfPhone(@RequestHeader(value = "Authorization", required = false) String authorization,
			@RequestBody byte[] body) {
		Map<String, Object> asked = read(authorization, "/users/by-phone", body);
		// The number with its country is a key like any other.
		User user = userOf("phone " + asked.get("country_code") + " " + asked.get("pure_phone_number"));
		return Map.of("user_id", user.id, "new_user", user.isNew);
	}

	/** This service has no passwords. */
	@PostMapping("/wxmint/password-checks")
	Map<String, Object> password(@RequestHeader(value = "Authorization", required = false) String authorization,
			@RequestBody byte[] body) {
		read(authorization, "/password-checks", body);
		return Collections.singletonMap("user_id", null);
	}

	/** wxmint asks at each login if WXMINT_ACCOUNTS_CHECK=true. */
	@PostMapping("/wxmint/login-checks")
	ResponseEntity<Map<String, Object>> login(@RequestHeader(value = "Authorization", required = false) String authorization,
			@RequestBody byte[] body) {
		String id = (String) read(authorization, "/login-checks", body).get("user_id");
		List<String> roles = id.matches("\\d{1,18}") ? database.queryForList(
				"SELECT roles FROM app_user WHERE id = ? AND NOT disabled", String.class, Long.valueOf(id)) : List.of();
		if (roles.isEmpty()) {
			return ResponseEntity.status(HttpStatus.FORBIDDEN).build();
		}
		List<String> list = roles.get(0).isEmpty() ? List.of() : List.of(roles.get(0).split(","));
		return ResponseEntity.ok(Map.of("claims", Map.of("roles", list)));
	}

	@ExceptionHandler
	ResponseEntity<Void> notWxmint(BadJwtException e) {
		return ResponseEntity.status(HttpStatus.UNAUTHORIZED).build();
	}

	@ExceptionHandler
	ResponseEntity<Void> keysUnknown(OAuth2AuthenticationException e) {
		return ResponseEntity.status(HttpStatus.SERVICE_UNAVAILABLE).build();
	}

	private Map<String, Object> read(String authorization, String path, byte[] body) {
		wxmint.verifyRequest(authorization, base + path, body);
		return JsonParserFactory.getJsonParser().parseMap(new String(body, StandardCharsets.UTF_8));
	}

	private static final class User {

		private final String id; // a text: numbers of more than 53 bits are not exact in JavaScript
		private final boolean isNew;

		User(long id, boolean isNew) {
			this.id = String.valueOf(id);
			this.isNew = isNew;
		}

	}

	/** Of two requests at once, the primary key of wxmint_key lets one name the user. The other's user is never named. */
	private User userOf(String key) {
		List<Long> known = database.queryForList("SELECT user_id FROM wxmint_key WHERE idempotency_key = ?", Long.class, key);
		if (!known.isEmpty()) {
			return new User(known.get(0), false);
		}
		GeneratedKeyHolder made = new GeneratedKeyHolder();
		database.update((connection) -> connection.prepareStatement("INSERT INTO app_user (roles) VALUES ('')",
				new String[] { "id" }), made);
		long id = made.getKey().longValue();
		try {
			database.update("INSERT INTO wxmint_key (idempotency_key, user_id) VALUES (?, ?)", key, id);
			return new User(id, true);
		}
		catch (DuplicateKeyException e) {
			database.update("DELETE FROM app_user WHERE id = ?", id);
			return new User(database.queryForObject("SELECT user_id FROM wxmint_key WHERE idempotency_key = ?", Long.class, key), false);
		}
	}

}

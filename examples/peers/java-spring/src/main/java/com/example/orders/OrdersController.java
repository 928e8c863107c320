package com.example.orders;

import java.util.Map;

import org.springframework.security.core.annotation.AuthenticationPrincipal;
import org.springframework.security.oauth2.jwt.Jwt;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.RestController;

@RestController
class OrdersController {

	@GetMapping("/orders")
	Map<String, String> orders(@AuthenticationPrincipal Jwt token) {
		return Map.of("user_id", token.getSubject(), "client_id", token.getClaimAsString("client_id"));
	}

	@GetMapping("/public/hello")
	Map<String, String> hello() {
		return Map.of("hello", "world");
	}

}

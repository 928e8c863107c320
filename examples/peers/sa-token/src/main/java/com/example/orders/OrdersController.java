package com.example.orders;

import java.util.Map;

import cn.dev33.satoken.annotation.SaCheckPermission;
import cn.dev33.satoken.stp.StpUtil;

import org.springframework.security.core.annotation.AuthenticationPrincipal;
import org.springframework.security.oauth2.jwt.Jwt;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.RestController;

@RestController
class OrdersController {

	@GetMapping("/orders")
	Map<String, String> orders(@AuthenticationPrincipal Jwt token) {
		return Map.of("user_id", StpUtil.getLoginIdAsString(), "client_id", token.getClaimAsString("client_id"));
	}

	@SaCheckPermission("orders.all")
	@GetMapping("/orders/all")
	Map<String, String> all() {
		return Map.of("user_id", StpUtil.getLoginIdAsString());
	}

	@GetMapping("/public/hello")
	Map<String, Object> hello() {
		return Map.of("hello", "world", "logged_in", StpUtil.isLogin());
	}

}

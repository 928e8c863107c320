package com.example.orders;

import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.context.annotation.Bean;
import org.springframework.security.config.Customizer;
import org.springframework.security.config.web.server.ServerHttpSecurity;
import org.springframework.security.web.server.SecurityWebFilterChain;

/** examples/peers/java-spring on WebFlux, with the same controller. */
@SpringBootApplication
class OrdersApplication {

	public static void main(String[] arguments) {
		SpringApplication.run(OrdersApplication.class, arguments);
	}

	@Bean
	SecurityWebFilterChain chain(ServerHttpSecurity http) {
		return http
			.authorizeExchange((requests) -> requests
				.pathMatchers("/public/**").permitAll()
				.anyExchange().authenticated())
			.oauth2ResourceServer((server) -> server.jwt(Customizer.withDefaults()))
			.build();
	}

}

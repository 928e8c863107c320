package com.example.accounts;

import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.context.annotation.Bean;
import org.springframework.core.annotation.Order;
import org.springframework.security.config.annotation.web.builders.HttpSecurity;
import org.springframework.security.web.SecurityFilterChain;

@SpringBootApplication
class AccountsApplication {

	public static void main(String[] arguments) {
		SpringApplication.run(AccountsApplication.class, arguments);
	}

	/**
	 * wxmint's requests have a token that is no access token. This chain, before the one of your API, lets them through to
	 * {@link AccountController}, which checks them.
	 */
	@Bean
	@Order(1)
	SecurityFilterChain wxmintRequests(HttpSecurity http) throws Exception {
		return http.securityMatcher("/wxmint/**")
			.csrf((csrf) -> csrf.disable())
			.authorizeHttpRequests((requests) -> requests.anyRequest().permitAll())
			.build();
	}

}

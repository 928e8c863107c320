package com.example.orders;

import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.time.Instant;

import com.nimbusds.jose.util.JSONObjectUtils;
import dev.wxmint.spring.WxmintVerifier;

import org.springframework.beans.factory.annotation.Value;
import org.springframework.boot.autoconfigure.condition.ConditionalOnProperty;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;
import org.springframework.security.oauth2.jwt.BadJwtException;
import org.springframework.security.oauth2.jwt.Jwt;
import org.springframework.security.oauth2.jwt.JwtDecoder;

/** Step 2 of docs/move.md: while there is OLD_SECRET, old tokens are taken beside wxmint's. Goes in step 4. */
@Configuration
@ConditionalOnProperty("old.secret")
class BothKinds {

	/** In place of the decoder of wxmint-spring. Controllers find the user of both kinds in `sub`, and the mini program in `client_id`. */
	@Bean
	JwtDecoder either(WxmintVerifier wxmint, @Value("${old.secret}") String secret,
			@Value("${old.until}") String until, @Value("${appid}") String appid) {
		OldTokens old = new OldTokens(secret.getBytes(StandardCharsets.UTF_8), Instant.parse(until), JSONObjectUtils::parse);
		return (token) -> {
			try {
				String user = old.userOf(token);
				return user == null ? wxmint.verify(token)
						: Jwt.withTokenValue(token).header("alg", "HS256").subject(user).claim("client_id", appid).build();
			}
			catch (GeneralSecurityException e) {
				throw new BadJwtException("not an old token: " + e.getMessage(), e);
			}
		};
	}

}

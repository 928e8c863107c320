package com.example.orders;

import cn.dev33.satoken.exception.DisableServiceException;
import cn.dev33.satoken.exception.NotLoginException;
import cn.dev33.satoken.exception.NotPermissionException;
import cn.dev33.satoken.exception.NotRoleException;
import cn.dev33.satoken.interceptor.SaInterceptor;
import cn.dev33.satoken.stp.StpUtil;
import cn.dev33.satoken.strategy.SaFirewallStrategy;

import jakarta.servlet.DispatcherType;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;

import org.springframework.context.annotation.Configuration;
import org.springframework.http.HttpStatus;
import org.springframework.security.core.Authentication;
import org.springframework.security.core.context.SecurityContextHolder;
import org.springframework.security.oauth2.server.resource.authentication.JwtAuthenticationToken;
import org.springframework.web.bind.annotation.ExceptionHandler;
import org.springframework.web.bind.annotation.ResponseStatus;
import org.springframework.web.bind.annotation.RestControllerAdvice;
import org.springframework.web.servlet.HandlerInterceptor;
import org.springframework.web.servlet.config.annotation.InterceptorRegistry;
import org.springframework.web.servlet.config.annotation.WebMvcConfigurer;

/** What that user may do: Sa-Token says so. */
@Configuration
@RestControllerAdvice
class SaTokenConfig implements WebMvcConfigurer {

	SaTokenConfig() {
		// Without this, Sa-Token's firewall refuses by 200.
		SaFirewallStrategy.instance.checkFailHandle = (why, request, response, more) -> response.setStatus(400);
	}

	@Override
	public void addInterceptors(InterceptorRegistry registry) {
		registry.addInterceptor(new VerifiedUser()); // before the annotations are checked
		registry.addInterceptor(new SaInterceptor());
	}

	/** Sa-Token's user is the token's for this request alone. StpUtil.login would make a session that outlives a ban. */
	private static class VerifiedUser implements HandlerInterceptor {

		@Override
		public boolean preHandle(HttpServletRequest request, HttpServletResponse response, Object handler) {
			Authentication who = SecurityContextHolder.getContext().getAuthentication();
			// For error pages, Sa-Token has no context.
			if (who instanceof JwtAuthenticationToken && request.getDispatcherType() != DispatcherType.ERROR) {
				StpUtil.switchTo(who.getName());
			}
			return true;
		}

	}

	@ExceptionHandler(NotLoginException.class)
	@ResponseStatus(HttpStatus.UNAUTHORIZED)
	void notLoggedIn() {
	}

	@ExceptionHandler({ NotPermissionException.class, NotRoleException.class, DisableServiceException.class })
	@ResponseStatus(HttpStatus.FORBIDDEN)
	void notAllowed() {
	}

}

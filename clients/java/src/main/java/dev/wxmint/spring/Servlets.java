package dev.wxmint.spring;

import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.lang.reflect.Proxy;
import java.util.Collections;
import java.util.Enumeration;

import org.springframework.security.oauth2.core.OAuth2AuthenticationException;
import org.springframework.security.oauth2.server.resource.BearerTokenErrors;
import org.springframework.security.oauth2.server.resource.web.BearerTokenResolver;
import org.springframework.security.oauth2.server.resource.web.DefaultBearerTokenResolver;
import org.springframework.web.context.request.RequestAttributes;
import org.springframework.web.context.request.RequestContextHolder;

/**
 * What needs a servlet's request or response. By reflection, because their classes are javax.servlet's in Spring Boot 2 and
 * jakarta.servlet's since Spring Boot 3, and this jar is for both.
 */
final class Servlets {

	private Servlets() { }

	/** Spring reads the first Authorization header; of two, a proxy in front may have looked at the other. */
	static BearerTokenResolver oneToken() {
		DefaultBearerTokenResolver resolver = new DefaultBearerTokenResolver();
		return (BearerTokenResolver) Proxy.newProxyInstance(Servlets.class.getClassLoader(),
				new Class<?>[] { BearerTokenResolver.class }, (proxy, method, arguments) -> {
					if (method.getName().equals("resolve")) {
						Method headers = method.getParameterTypes()[0].getMethod("getHeaders", String.class);
						if (Collections.list((Enumeration<?>) headers.invoke(arguments[0], "Authorization")).size() > 1) {
							throw new OAuth2AuthenticationException(BearerTokenErrors.invalidRequest("several Authorization headers"));
						}
					}
					try {
						return method.invoke(resolver, arguments);
					}
					catch (InvocationTargetException e) {
						throw e.getCause();
					}
				});
	}

	/** When to ask again, beside the 503 of Spring. Elsewhere than in a servlet's request it does nothing. */
	static void retryAfter() {
		RequestAttributes request = RequestContextHolder.getRequestAttributes();
		try {
			Method getResponse = request == null ? null : request.getClass().getMethod("getResponse");
			Object response = getResponse == null ? null : getResponse.invoke(request);
			if (response != null) {
				getResponse.getReturnType().getMethod("setHeader", String.class, String.class).invoke(response, "Retry-After", "5");
			}
		}
		catch (ReflectiveOperationException e) { // not a servlet's request
		}
	}

}

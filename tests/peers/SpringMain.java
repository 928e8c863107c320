package com.example.orders;

import java.util.EnumSet;
import java.util.Set;

import jakarta.servlet.DispatcherType;

import org.apache.catalina.Context;
import org.apache.catalina.startup.Tomcat;

import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;
import org.springframework.context.annotation.Import;
import org.springframework.context.support.PropertySourcesPlaceholderConfigurer;
import org.springframework.web.context.support.AnnotationConfigWebApplicationContext;
import org.springframework.web.filter.DelegatingFilterProxy;
import org.springframework.web.servlet.DispatcherServlet;
import org.springframework.web.servlet.config.annotation.EnableWebMvc;

/** Stands in for Spring Boot around examples/peers/java-spring: Tomcat on the port that is its argument. */
@Configuration
@EnableWebMvc
@Import({ SecurityConfig.class, OrdersController.class })
class SpringMain {

	@Bean
	static PropertySourcesPlaceholderConfigurer settings() {
		return new PropertySourcesPlaceholderConfigurer();
	}

	public static void main(String[] arguments) throws Exception {
		Tomcat tomcat = new Tomcat();
		tomcat.setBaseDir("tomcat");
		tomcat.setPort(Integer.parseInt(arguments[0]));
		tomcat.getConnector().setProperty("address", "127.0.0.1");
		tomcat.getConnector().setProperty("maxHttpHeaderSize", "16384"); // as application.yml says
		Context context = tomcat.addContext("", null);
		AnnotationConfigWebApplicationContext beans = new AnnotationConfigWebApplicationContext();
		beans.register(SpringMain.class);
		beans.setServletContext(context.getServletContext());
		context.addServletContainerInitializer((classes, servlets) -> {
			var dispatcher = servlets.addServlet("dispatcher", new DispatcherServlet(beans));
			dispatcher.addMapping("/");
			dispatcher.setLoadOnStartup(1);
			var security = servlets.addFilter("security", new DelegatingFilterProxy("springSecurityFilterChain", beans));
			security.addMappingForUrlPatterns(EnumSet.allOf(DispatcherType.class), false, "/*");
		}, Set.of());
		tomcat.start();
		tomcat.getServer().await();
	}

}

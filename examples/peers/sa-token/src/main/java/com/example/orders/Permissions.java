package com.example.orders;

import java.util.List;
import java.util.Set;

import cn.dev33.satoken.stp.StpInterface;

import org.springframework.beans.factory.annotation.Value;
import org.springframework.stereotype.Component;

/** In place of your own tables. They know users by wxmint's user id. */
@Component
class Permissions implements StpInterface {

	private final Set<String> managers;

	Permissions(@Value("${orders.managers:}") Set<String> managers) {
		this.managers = managers;
	}

	@Override
	public List<String> getPermissionList(Object userId, String loginType) {
		return managers.contains(userId) ? List.of("orders.all") : List.of();
	}

	@Override
	public List<String> getRoleList(Object userId, String loginType) {
		return List.of();
	}

}

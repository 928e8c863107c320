package com.example.shop;

import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse.BodyHandlers;

import cn.binarywang.wx.miniapp.api.WxMaService;
import cn.binarywang.wx.miniapp.api.impl.WxMaServiceImpl;

/** Gets two phone numbers by WxJava. Before the second, the simulator makes all access tokens invalid. */
public class Main {

	public static void main(String[] arguments) throws Exception {
		String wechat = arguments[3];
		WxmintConfig config = new WxmintConfig(arguments[0], arguments[1], arguments[2]);
		config.setApiHostUrl(wechat);
		WxMaService service = new WxMaServiceImpl();
		service.setWxMaConfig(config);
		System.out.println(service.getUserService().getPhoneNumber(arguments[4]).getPhoneNumber());
		HttpRequest revoke = HttpRequest.newBuilder(URI.create(wechat + "/_simulator/access-tokens"))
			.header("Content-Type", "application/json")
			.POST(BodyPublishers.ofString("{\"revoke\":true}"))
			.build();
		System.out.println(HttpClient.newHttpClient().send(revoke, BodyHandlers.ofString()).statusCode());
		System.out.println(service.getUserService().getPhoneNumber(arguments[5]).getPhoneNumber());
	}

}

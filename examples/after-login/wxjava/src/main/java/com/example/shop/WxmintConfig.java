package com.example.shop;

import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.time.Duration;

import cn.binarywang.wx.miniapp.config.impl.WxMaDefaultConfigImpl;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;

/**
 * Borrows the mini program's access token from wxmint, for WxJava. Copy this class, and give it to WxMaServiceImpl in place of
 * WxMaDefaultConfigImpl. Set no AppSecret, so that nothing in WxJava can fetch a token by itself.
 */
public class WxmintConfig extends WxMaDefaultConfigImpl {

	private static final long KEPT = Duration.ofMinutes(1).toNanos();

	private final transient HttpClient http = HttpClient.newBuilder().connectTimeout(Duration.ofSeconds(2)).build();
	private final URI url;
	private final String secret;
	private String token;
	private long fetched;

	/**
	 * @param admin wxmint's admin listener, such as http://wxmint-admin:9090
	 * @param secret a secret of WXMINT_ADMIN_TOKENS_FILE with the right `wechat`
	 */
	public WxmintConfig(String admin, String secret, String appid) {
		this.url = URI.create(admin + "/wechat/" + appid + "/access-token");
		this.secret = secret;
		setAppid(appid);
	}

	@Override
	public synchronized String getAccessToken() {
		if (token == null || System.nanoTime() - fetched > KEPT) {
			token = ask(HttpRequest.newBuilder(url).GET());
			fetched = System.nanoTime();
		}
		return token;
	}

	/** WeChat has refused the token. wxmint answers with the one that is good now. */
	@Override
	public synchronized void expireAccessToken() {
		if (token != null) {
			JsonObject refused = new JsonObject();
			refused.addProperty("invalid", token);
			token = null;
			token = ask(HttpRequest.newBuilder(url).POST(BodyPublishers.ofString(refused.toString())));
			fetched = System.nanoTime();
		}
	}

	/** wxmint knows when it does. */
	@Override
	public boolean isAccessTokenExpired() {
		return false;
	}

	private String ask(HttpRequest.Builder request) {
		request.timeout(Duration.ofSeconds(10)).header("Authorization", "Bearer " + secret).header("Content-Type", "application/json");
		try {
			HttpResponse<String> answer = http.send(request.build(), BodyHandlers.ofString());
			if (answer.statusCode() != 200) {
				throw new IllegalStateException("wxmint lends no access token: " + answer.body());
			}
			return JsonParser.parseString(answer.body()).getAsJsonObject().get("access_token").getAsString();
		}
		catch (IOException e) {
			throw new IllegalStateException("wxmint does not answer", e);
		}
		catch (InterruptedException e) {
			Thread.currentThread().interrupt();
			throw new IllegalStateException("interrupted", e);
		}
	}

}

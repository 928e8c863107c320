// What a mini program hands to wx.requestVirtualPayment for one order.
import { createHmac } from "node:crypto";
import { wxmint } from "./wxmint.mjs";

const { OFFER_ID, APP_KEY, SANDBOX } = process.env; // of WeChat's console, "虚拟支付"; SANDBOX=1 has an AppKey of its own

export async function payment(user, { outTradeNo, productId, price, quantity, attach }) {
  const order = { offerId: OFFER_ID, buyQuantity: quantity, env: Number(SANDBOX ?? 0), currencyType: "CNY" };
  // Signed, sent and passed on as this one text. Whoever parses it and writes it again makes another text.
  const signData = JSON.stringify({ ...order, productId, goodsPrice: price, outTradeNo, attach });
  const paySig = createHmac("sha256", APP_KEY).update(`requestVirtualPayment&${signData}`).digest("hex");
  const { signature } = await wxmint(user, "signature", { data: signData });
  return { mode: "short_series_goods", signData, paySig, signature };
}

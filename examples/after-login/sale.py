"""What a mini program hands to wx.requestVirtualPayment for one order."""

import hashlib
import hmac
import json
import os

from wxmint import wxmint

# Of WeChat's console, "虚拟支付"; SANDBOX=1 has an AppKey of its own.
OFFER_ID, APP_KEY, SANDBOX = os.environ["OFFER_ID"], os.environ["APP_KEY"], int(os.environ.get("SANDBOX", "0"))


def payment(user, out_trade_no, product_id, price, quantity=1, attach=""):
    order = {"offerId": OFFER_ID, "buyQuantity": quantity, "env": SANDBOX, "currencyType": "CNY", "productId": product_id}
    order |= {"goodsPrice": price, "outTradeNo": out_trade_no, "attach": attach}
    # Signed, sent and passed on as this one text. Whoever parses it and writes it again makes another text.
    sign_data = json.dumps(order, ensure_ascii=False)
    pay_sig = hmac.new(APP_KEY.encode(), f"requestVirtualPayment&{sign_data}".encode(), hashlib.sha256).hexdigest()
    signature = wxmint(user, "signature", {"data": sign_data})["signature"]
    return {"mode": "short_series_goods", "signData": sign_data, "paySig": pay_sig, "signature": signature}

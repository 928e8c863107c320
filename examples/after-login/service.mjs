// A service of the business: sells, and reads encrypted messages. It believes X-User-Id, which the proxy with the sidecar
// writes (docs/verify.md), and listens on loopback, so that nobody reaches it but that proxy.
//
//   ADMIN=http://127.0.0.1:9090 SECRET=… APPID=… OFFER_ID=… APP_KEY=… node service.mjs
import { randomUUID } from "node:crypto";
import { createServer } from "node:http";
import { opened } from "./message.mjs";
import { payment } from "./sale.mjs";
import { LogInAgain } from "./wxmint.mjs";

const PRICES = { __proto__: null, "coffee-sticker": 100 }; // fen; from your own database, never from the request
const LONGEST = 64 * 1024; // characters of a body

const ROUTES = {
  __proto__: null,
  "/orders": async (user, { productId }) => {
    const price = PRICES[productId];
    if (!price) throw new Error("no such product");
    const outTradeNo = randomUUID().replaceAll("-", ""); // note it with the user before you answer
    return payment(user, { outTradeNo, productId, price, quantity: 1, attach: "" });
  },
  "/messages": async (user, message) => ({ text: await opened(user, message) }),
};

async function answer(request) {
  const [act, user] = [ROUTES[request.url], request.headers["x-user-id"]];
  try {
    const body = await read(request);
    if (!act || request.method !== "POST") return [404, { code: "not_found" }];
    if (!user) return [500, { code: "no_proxy" }];
    return [200, await act(user, JSON.parse(body))];
  } catch (error) {
    console.warn(error.message);
    return error instanceof LogInAgain ? [409, { code: "log_in_again" }] : [400, { code: "refused" }];
  }
}

// Reads to the end, because whoever leaves the loop closes the connection before the answer.
async function read(request) {
  request.setEncoding("utf8");
  let body = "";
  for await (const part of request) if (body.length <= LONGEST) body += part;
  if (body.length > LONGEST) throw new Error("the body is too long");
  return body;
}

const server = createServer(async (request, response) => {
  const [status, said] = await answer(request);
  response.writeHead(status, { "content-type": "application/json", "cache-control": "no-store" }).end(JSON.stringify(said));
});
const port = Number(process.env.PORT ?? 3000);
server.listen(port, "127.0.0.1", () => console.log(`listening on ${port}`));

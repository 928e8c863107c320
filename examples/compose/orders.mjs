// A service that knows nothing of tokens: it believes X-User-Id, which nginx writes. It listens on loopback, so that
// nobody reaches it but nginx.
import { createServer } from "node:http";

const server = createServer((request, response) => {
  response.setHeader("Content-Type", "application/json");
  response.end(JSON.stringify({ user_id: request.headers["x-user-id"], orders: [] }));
});
server.listen(3000, "127.0.0.1");

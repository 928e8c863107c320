// A back end on Express 5, whose router ignores case and a slash at the end, with a route of Rails' kind besides: `.json`
// and the like after a path choose a format. Answers with the protected path that it takes a request's path for.
const express = require("express");

const app = express();
for (const path of ["/public/orders", "/orders"]) {
  const handler = (request, response) => response.send(path);
  app.use(path, handler);
  app.all(`${path}{.:format}`, handler);
}
const server = app.listen(0, "127.0.0.1", () => console.log(JSON.stringify({ express: server.address().port })));

// A back end on Express 5, whose router ignores case and a slash at the end, with a route of Rails' kind besides: `.json`
// and the like after a path choose a format. Answers with /orders where it takes a request's path for that.
const express = require("express");

const app = express();
const orders = (request, response) => response.send("/orders");
app.use("/orders", orders);
app.all("/orders{.:format}", orders);
const server = app.listen(0, "127.0.0.1", () => console.log(JSON.stringify({ express: server.address().port })));

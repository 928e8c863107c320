// An API that takes wxmint's tokens: Express and jose.
import express from "express";
import { Verifier } from "./verifier.mjs";

// wxmint's WXMINT_ISSUER and WXMINT_AUDIENCE. https everywhere but on one machine.
const ISSUER = "http://127.0.0.1:8080";
const AUDIENCE = ISSUER;

const tokens = new Verifier(ISSUER, AUDIENCE);

async function currentUser(request, response, next) {
  // Node's `headers` has the first of two, where a proxy before us may have looked at the other one.
  const sent = request.headersDistinct.authorization;
  if (!sent) return response.set("WWW-Authenticate", "Bearer").sendStatus(401);
  if (tokens.unavailable) return response.set("Retry-After", "2").sendStatus(503);
  try {
    const [, token] = (sent.length === 1 && /^Bearer ([\w.-]+)$/i.exec(sent[0])) || [];
    const { sub, client_id } = await tokens.verify(token);
    request.user = { user_id: sub, client_id };
  } catch (error) {
    console.info(`refused: ${JSON.stringify(error.message)}`); // It may have a stranger's words.
    return response.set("WWW-Authenticate", 'Bearer error="invalid_token"').sendStatus(401);
  }
  next();
}

const app = express();
app.disable("x-powered-by");
app.get("/orders", currentUser, (request, response) => response.json(request.user));
app.get("/public/hello", (request, response) => response.json({ hello: "everybody" }));

await tokens.follow();
app.listen(8000, "127.0.0.1");

// Plays one story on a phone, and prints what was seen as JSON:
//
//     node run.mjs '{"story":…,"person":…,"appid":…,"service":…,"simulator":…,"issuer":…,
//                    "password":…,"wrong_password":…,"behind":…,"secret":…}'

import { Peer } from "./peer.mjs";
import { Phone } from "./runtime.mjs";
import * as stories from "./stories.mjs";

const { story, service, issuer, behind, ...given } = JSON.parse(process.argv[2]);
const peer = new Peer({ issuer, jwks: `${service}/.well-known/jwks.json`, behind });
await peer.start();
const domains = { "https://login.example.com": service, "https://api.example.com": peer.origin };
const phone = new Phone({ ...given, domains });
try {
  console.log(JSON.stringify(await stories[story](phone, peer, given)));
} finally {
  peer.stop();
}

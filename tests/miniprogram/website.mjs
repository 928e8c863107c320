// A website that users of the mini program log in to by scanning a code (RFC 8628).

const GRANT = "urn:ietf:params:oauth:grant-type:device_code";

export class Website {
  #service;
  #id;
  #userAgent;

  constructor({ service, id, userAgent = "a test" }) {
    [this.#service, this.#id, this.#userAgent] = [service, id, userAgent];
  }

  /** What wxmint gives it to show. */
  async asks() {
    const answer = await this.#post("/device_authorization", {});
    if (!answer.user_code) throw new Error(`wxmint has answered ${JSON.stringify(answer)}`);
    return answer;
  }

  /** The answer to one poll. */
  async polled({ device_code }) {
    return this.#post("/token", { grant_type: GRANT, device_code });
  }

  async #post(path, fields) {
    const body = new URLSearchParams({ ...fields, client_id: this.#id });
    const headers = { "user-agent": this.#userAgent };
    return (await fetch(this.#service + path, { method: "POST", headers, body })).json();
  }
}

// A page without a back end: a client without a secret, whose `origins` name this page's origin.
// `me`, if there is one, is a service of yours that answers 401 to a token that was ended.
export default { url: "http://127.0.0.1:8080", clientId: "shop-page" };

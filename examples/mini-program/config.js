// Both hosts must be among the mini program's request domains (request 合法域名).
module.exports = {
  WXMINT: 'https://login.example.com',
  API: 'https://api.example.com'
}

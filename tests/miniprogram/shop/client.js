// What a mini program has of its own beside the package.
const { createClient } = require('../package/miniprogram_dist/index.js')

module.exports = { client: createClient({ url: 'https://login.example.com' }) }

const client = require('./utils/client.js')

App({
  // Before the first page asks. If this fails, the page gets the same error, and shows it.
  onLaunch() {
    client.token().catch(() => {})
  }
})

// The page asks this site, which has the client's secret and keeps the token in a cookie that no script can read.
export default { start: "/scan", poll: "/scan/token", me: "/me", logout: "/logout" };

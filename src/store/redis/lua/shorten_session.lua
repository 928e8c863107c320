-- Makes the session of somebody who logs in often short. KEYS: binding, session, cell of logins (one hash slot). Needs limit.lua
-- and session.lua.
shorten()
return 0

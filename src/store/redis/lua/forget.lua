-- Forgets the session keys of a person. KEYS: binding, session, cell of logins (one hash slot). Needs limit.lua and session.lua.
drop_keys()
return 0

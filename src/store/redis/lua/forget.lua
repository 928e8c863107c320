-- Forgets the session keys of a person. KEYS: binding, session (one hash slot). Needs forget_keys.lua.
return forget_keys()

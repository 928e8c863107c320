-- The session keys of a person. KEYS: binding, session. ARGV: milliseconds for which a replaced key is kept. Needs kept_keys.lua.
local keys = kept_keys(ARGV[1])
return keys

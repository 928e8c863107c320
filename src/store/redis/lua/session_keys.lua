-- The session keys of a person. KEYS: session. ARGV: milliseconds for which a replaced key is kept. Needs kept_keys.lua.
local keys = kept_keys(KEYS[1], ARGV[1])
return keys

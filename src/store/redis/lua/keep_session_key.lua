-- Keeps a session key. KEYS: binding, session. ARGV: order, sealed key, session's seconds. Needs keep_key.lua.
keep_key(ARGV[1], ARGV[2], ARGV[3])
return 0

-- Keeps a session key. KEYS: session. ARGV: order, sealed key, session's seconds. Needs keep_key.lua.
keep_key(KEYS[1], ARGV[1], ARGV[2], ARGV[3])
return 0

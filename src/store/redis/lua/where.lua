-- Where a person stands. KEYS: binding. ARGV: claim. Needs standing.lua.
return standing(KEYS[1], ARGV[1])

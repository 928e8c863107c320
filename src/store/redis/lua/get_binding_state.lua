-- Where a person stands. KEYS: binding. ARGV: claim. Needs binding_state.lua.
return binding_state(KEYS[1], ARGV[1])

-- Where a person stands. KEYS: binding. ARGV: attempt. Needs binding_state.lua.
return binding_state(KEYS[1], ARGV[1])

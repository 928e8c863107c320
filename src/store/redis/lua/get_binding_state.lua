-- Where a person stands. KEYS: binding. ARGV: attempt. Needs binding_state.lua.
return told(binding_state(ARGV[1]))

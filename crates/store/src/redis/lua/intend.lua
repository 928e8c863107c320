-- Begins to bind a person to a user. In front of the scripts that do, whose KEYS[1] is the binding.
local function intend(generation, user, made, by_unionid)
  redis.call('HSET', KEYS[1], 'generation', generation + 1, 'intent_user', user, 'intent_made', made, 'intent_by_unionid',
    by_unionid)
end

-- Begins to bind a person to a user. In front of the scripts that do, whose KEYS[1] is the binding.
local function intend(user, made, by_unionid)
  redis.call('HINCRBY', KEYS[1], 'generation', 1)
  -- The number that is left of a person who was erased expires.
  redis.call('PERSIST', KEYS[1])
  redis.call('HSET', KEYS[1], 'intent_user', user, 'intent_made', made, 'intent_by_unionid', by_unionid)
end

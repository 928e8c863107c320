-- A person's binding. In front of the scripts that read or change it, whose KEYS[1] is the binding.
-- The fields are in the order of `StoredBinding`.
local function binding()
  return redis.call('HMGET', KEYS[1], 'generation', 'user_id', 'unionid', 'new_for', 'intent_user', 'intent_made',
    'intent_by_unionid', 'leaving_user', 'leaving_since', 'dissolved', 'block_of', 'block', 'unconfirmed')
end

local function intend(user, made, by_unionid)
  redis.call('HINCRBY', KEYS[1], 'generation', 1)
  -- The number that is left of a person who was erased expires.
  redis.call('PERSIST', KEYS[1])
  redis.call('HSET', KEYS[1], 'intent_user', user, 'intent_made', made, 'intent_by_unionid', by_unionid)
end

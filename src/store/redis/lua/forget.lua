-- Forgets the session keys of a person. KEYS: binding, session, cell of logins (one hash slot). Needs drop_keys.lua.
-- If the person is bound, the second of the last exchange stays with the binding.
local order = redis.call('HGET', KEYS[2], 'current_order')
if order and redis.call('HEXISTS', KEYS[1], 'user_id') == 1 then
  local second = math.floor(tonumber(string.sub(order, 1, 16), 16) / 1000000)
  redis.call('HSET', KEYS[1], 'last_login', string.format('%.0f', second))
end
drop_keys()
return 0

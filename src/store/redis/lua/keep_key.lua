-- Keeps a session key if no later exchange has kept one; the one before stays for a while. In front of the scripts that do,
-- whose KEYS[2] is the session.
local function keep_key(order, sealed, seconds)
  local kept = redis.call('HMGET', KEYS[2], 'current_order', 'current_key', 'previous_order')
  if not kept[1] then
    redis.call('HSET', KEYS[2], 'current_order', order, 'current_key', sealed)
  elseif order > kept[1] then
    redis.call('HSET', KEYS[2], 'current_order', order, 'current_key', sealed,
      'previous_order', kept[1], 'previous_key', kept[2])
  elseif order < kept[1] and (not kept[3] or order > kept[3]) then
    redis.call('HSET', KEYS[2], 'previous_order', order, 'previous_key', sealed)
  end
  redis.call('EXPIRE', KEYS[2], seconds)
end

-- Keeps a session key if no later exchange has kept one; the one before stays for a while. In front of the scripts that do.
local function keep_key(session, order, sealed, seconds)
  local kept = redis.call('HMGET', session, 'current_order', 'current_key', 'previous_order')
  if not kept[1] then
    redis.call('HSET', session, 'current_order', order, 'current_key', sealed)
  elseif order > kept[1] then
    redis.call('HSET', session, 'current_order', order, 'current_key', sealed,
      'previous_order', kept[1], 'previous_key', kept[2])
  elseif order < kept[1] and (not kept[3] or order > kept[3]) then
    redis.call('HSET', session, 'previous_order', order, 'previous_key', sealed)
  end
  redis.call('EXPIRE', session, seconds)
end

-- Keeps a session key if no later exchange has kept one; the one before stays for a while. In front of the scripts that do,
-- whose KEYS[2] is the session. `kept`: what is kept so far, by kept_keys. `logins`: how often the person has logged in lately.
-- The life of the session begins anew if the last exchange is before `renewed`, the first order of a sixteenth of a life: to
-- begin it at each login would cost Redis a command more.
local function kept_keys()
  return redis.call('HMGET', KEYS[2], 'current_order', 'current_key', 'previous_order', 'logins')
end

local function keep_key(kept, order, sealed, seconds, renewed, logins)
  if not kept[1] then
    redis.call('HSET', KEYS[2], 'logins', logins, 'current_order', order, 'current_key', sealed)
  elseif order > kept[1] then
    redis.call('HSET', KEYS[2], 'logins', logins, 'current_order', order, 'current_key', sealed,
      'previous_order', kept[1], 'previous_key', kept[2])
  elseif order < kept[1] and (not kept[3] or order > kept[3]) then
    redis.call('HSET', KEYS[2], 'logins', logins, 'previous_order', order, 'previous_key', sealed)
  else
    redis.call('HSET', KEYS[2], 'logins', logins)
  end
  if not kept[1] or kept[1] < renewed then
    redis.call('EXPIRE', KEYS[2], seconds)
  end
end

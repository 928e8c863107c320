-- Drops a person's session keys. How often the person has logged in lately goes on in a cell of its own, so that a logout gives
-- nobody more logins. In front of the scripts that do, whose KEYS[2] is the session and KEYS[3] the cell.
local function drop_keys()
  local logins = redis.call('HGET', KEYS[2], 'logins')
  local life = logins and string.match(logins, '%d+$')
  if life then
    redis.call('SET', KEYS[3], logins, 'PX', life)
  end
  redis.call('DEL', KEYS[2])
end

-- A person's session is one text of three lines, because a hash of five fields costs Redis twice as much: how often the person
-- has logged in lately (meter.lua), the last exchange and the one before, each as its order and its sealed key.
-- In front of the scripts that use it, whose KEYS are the binding, the session and the cell of logins.
local function session()
  local kept = redis.pcall('GET', KEYS[2])
  if type(kept) == 'string' then
    local first = string.find(kept, '\n', 1, true)
    local second = string.find(kept, '\n', first + 1, true)
    return string.sub(kept, 1, first - 1), string.sub(kept, first + 1, second - 1), string.sub(kept, second + 1)
  elseif kept then
    -- The hash of an earlier version.
    redis.call('DEL', KEYS[2])
  end
end

-- Keeps a session key beside `current` and `previous`, if no later exchange has kept one. Lines compare as their orders do.
-- The life of the session begins anew if the last exchange is before `renewed`, the first order of a sixteenth of a life: to
-- begin it at each login would cost Redis more.
local function keep_key(logins, current, previous, line, seconds, renewed)
  local is_new = not current or current < renewed
  local order = string.find(line, ' ', 1, true)
  if not current then
    current, previous = line, ''
  elseif string.sub(line, 1, order) ~= string.sub(current, 1, order) then
    if line > current then
      current, previous = line, current
    elseif line > previous then
      previous = line
    end
  end
  local kept = logins .. '\n' .. current .. '\n' .. previous
  if is_new then
    redis.call('SET', KEYS[2], kept, 'EX', seconds)
  else
    redis.call('SET', KEYS[2], kept, 'KEEPTTL')
  end
end

-- Drops the session keys. If the person is bound, the second of the last exchange stays with the binding. How often the person
-- has logged in lately goes on in a cell of its own, so that a logout gives nobody more logins.
local function drop_keys()
  local logins, current = session()
  if not current then
    return
  end
  if redis.call('HEXISTS', KEYS[1], 'user_id') == 1 then
    local second = math.floor(tonumber(string.sub(current, 1, 16), 16) / 1000000)
    redis.call('HSET', KEYS[1], 'last_login', string.format('%.0f', second))
  end
  local life = string.match(logins, '%d+$')
  if life then
    redis.call('SET', KEYS[3], logins, 'PX', life)
  end
  redis.call('DEL', KEYS[2])
end

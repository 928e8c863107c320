-- A person's session, and how often the person has logged in lately. In front of the scripts whose KEYS are the binding, the session
-- and the cell of logins for who has no session.

-- How often a person has logged in lately: a table with the number of logins for each time until which they count, in
-- microseconds since 1970 as 16 hexadecimal digits (limits.rs). As a text ' 00064…c0:1 00064…d7:2', the earliest first.
local function add_all(counts, text)
  for till, logins in string.gmatch(text, '(%x+):(%d+)') do
    counts[till] = (counts[till] or 0) + logins
  end
end

-- The present time, as the texts that it is compared with.
local function present()
  local time = redis.call('TIME')
  return string.format('%016x', time[1] * 1000000 + time[2])
end

-- The times until which logins count that have not passed, the earliest first.
local function times(counts)
  local left = {}
  if not next(counts) then
    return left
  end
  local now = present()
  for till in pairs(counts) do
    if till > now then
      table.insert(left, till)
    end
  end
  table.sort(left)
  return left, now
end

local function as_text(counts)
  local text = ''
  for _, till in ipairs(times(counts)) do
    text = text .. ' ' .. till .. ':' .. counts[till]
  end
  return text
end

local function keep_counts(counts)
  local left, now = times(counts)
  if #left > 0 then
    local micros = tonumber(left[#left], 16) - tonumber(now, 16)
    redis.call('SET', KEYS[3], as_text(counts), 'PX', math.ceil(micros / 1000))
  end
end

-- Until when no other login is within the limit, or nil if one is. A login that would count beyond `latest` was counted before the
-- clock stepped back, and is forgotten.
local function full_until(counts, limit, latest)
  for till in pairs(counts) do
    if till > latest then
      counts[till] = nil
    end
  end
  local total, left = 0, times(counts)
  for _, till in ipairs(left) do
    total = total + counts[till]
  end
  local full
  for _, till in ipairs(left) do
    if total < limit then
      break
    end
    total, full = total - counts[till], till
  end
  return full
end

-- A person's session is a list, to which a silent login appends its line by a plain command. A line is the order of an exchange,
-- until when its login counts for the limit, and its sealed key; of the lines the two of the latest exchanges are needed. A line
-- that begins with a blank has how many earlier logins count, as as_text writes it. A line may be there twice, because it was
-- sent again.
local function session()
  local counts, seen, current, previous = {}, {}, nil, nil
  for _, line in ipairs(redis.call('LRANGE', KEYS[2], 0, -1)) do
    local order, till = string.match(line, '^(%S+) (%x+) ')
    if not order then
      add_all(counts, line)
    elseif not seen[order] then
      seen[order] = true
      counts[till] = (counts[till] or 0) + 1
      if not current or line > current then
        current, previous = line, current
      elseif not previous or line > previous then
        previous = line
      end
    end
  end
  return counts, current, previous
end

-- The line, but its login does not count, or is counted elsewhere.
local function uncounted(line)
  return (string.gsub(line, ' %x+ ', ' 0000000000000000 ', 1))
end

-- Makes a session short: the lines of the two latest exchanges, and in front of them how many logins count.
local function shorten()
  local counts, current, previous = session()
  if current then
    local earlier = as_text(counts)
    local lines = earlier == '' and {} or {earlier}
    if previous then
      table.insert(lines, uncounted(previous))
    end
    table.insert(lines, uncounted(current))
    redis.call('RPUSH', KEYS[2], unpack(lines))
    redis.call('LTRIM', KEYS[2], -#lines, -1)
  end
end

-- The line with the place of its exchange. If the latest exchange that is stored began after the present time, the clock has
-- stepped back since, and the line's place is behind it. A line that is repeated has its place already.
local function placed(line)
  local _, current, previous = session()
  if not current or line > current or string.sub(current, 1, 16) <= present() then
    return line
  end
  local attempt, place = string.sub(line, 17, 25), tonumber(string.sub(current, 1, 16), 16) + 1
  for _, kept in ipairs({current, previous}) do
    if string.sub(kept, 17, 25) == attempt then
      place = tonumber(string.sub(kept, 1, 16), 16)
    end
  end
  return string.format('%016x', place) .. string.sub(line, 17)
end

-- Keeps a line. `counts`: how many logins count, if it is the first one. A session of many lines is made short.
local function keep_line(line, counts, seconds)
  local earlier = counts and as_text(counts) or ''
  if earlier ~= '' then
    redis.call('RPUSH', KEYS[2], earlier)
  end
  redis.call('RPUSH', KEYS[2], placed(line))
  redis.call('EXPIRE', KEYS[2], seconds)
  if not counts and redis.call('LLEN', KEYS[2]) > 16 then
    shorten()
  end
end

-- Whether the block that stands beside a person is the user's and goes on.
local function is_blocked(user, block_of, block)
  return user and block_of == user and string.sub(block, -2) == 'on'
end

-- Drops the session keys. If the person is bound, the binding has this second, because the user's tokens may be ended with the
-- keys (note_not_ended.lua removes it), and the second of the last exchange. How often the person has logged in lately goes on in
-- a cell of its own, so that a logout gives nobody more logins.
local function drop_keys()
  local counts, current = session()
  if redis.call('HEXISTS', KEYS[1], 'user_id') == 1 then
    redis.call('HSET', KEYS[1], 'dropped', redis.call('TIME')[1])
    if current then
      local second = math.floor(tonumber(string.sub(current, 1, 16), 16) / 1000000)
      redis.call('HSET', KEYS[1], 'last_login', string.format('%.0f', second))
    end
  end
  if current then
    keep_counts(counts)
    redis.call('DEL', KEYS[2])
  end
end

-- Begins to bind a person to a user.
local function intend(generation, user, made, by_unionid)
  redis.call('HSET', KEYS[1], 'generation', generation + 1, 'intent_user', user, 'intent_made', made, 'intent_by_unionid',
    by_unionid)
end

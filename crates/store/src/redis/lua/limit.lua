-- How often a person has logged in lately: a table with the number of logins for each time until which they count, in
-- microseconds since 1970 as 16 hexadecimal digits (limits.rs). As a text ' 00064…c0:1 00064…d7:2', the earliest first.
-- In front of the scripts that count logins, whose KEYS[3] is the cell for who has no session.
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

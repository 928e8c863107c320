-- Shared functions: a person's session, the person's recent logins, and lists of unionids. KEYS:
-- the binding, the session, and the login counter of a person without a session. README.md explains
-- the fields of a binding.

local time = redis.call('TIME')
-- The time in microseconds since 1970, and in quarters of a second since 2020, the unit of the
-- times until which logins count.
local now = time[1] * 1000000 + time[2]
local quarter = (time[1] - 1577836800) * 4 + time[2] / 250000

-- The recent logins of a person are a table: the number of logins for each quarter until which they
-- count. As a text they are ' 867129600:1 867129610:2', the earliest first.
local function add_all(counts, text)
  for till, logins in string.gmatch(text, '(%d+):(%d+)') do
    till = tonumber(till)
    counts[till] = (counts[till] or 0) + logins
  end
end

-- The quarters of a table that have not passed, the earliest first.
local function times(counts)
  local left = {}
  for till in pairs(counts) do
    -- 0 means that the login does not count. Checked separately in case the clock is before 2020.
    if till > quarter and till > 0 then
      table.insert(left, till)
    end
  end
  table.sort(left)
  return left
end

local function as_text(counts)
  local text = ''
  for _, till in ipairs(times(counts)) do
    text = text .. ' ' .. till .. ':' .. counts[till]
  end
  return text
end

local function keep_counts(counts)
  local left = times(counts)
  if #left > 0 then
    redis.call('SET', KEYS[3], as_text(counts), 'PX', math.ceil((left[#left] - quarter) * 250))
  end
end

-- A person's session has the lines of the two latest exchanges, the latest first, each preceded by
-- its length in two bytes. Then perhaps its owner follows, and then the other logins that count, as
-- as_text writes them. The owner is the computed user of a person without a binding: 'u', and the
-- user's 17 bytes. A line has the order of an exchange (7 bytes), until when its login counts for
-- the limit (4 bytes, 0 if it does not count), and the sealed key.
local owner = ''
local function session()
  local kept, lines, counts, at = redis.call('GET', KEYS[2]) or '', {}, {}, 1
  -- The text begins with a blank and the owner with a letter; no line is so long that its length
  -- begins with such a byte.
  while at < #kept and string.byte(kept, at) < 32 do
    local last = at + 1 + struct.unpack('>I2', kept, at)
    table.insert(lines, string.sub(kept, at + 2, last))
    at = last + 1
  end
  owner = string.sub(kept, at, at) == 'u' and string.sub(kept, at, at + 17) or ''
  add_all(counts, string.sub(kept, at + #owner))
  return lines, counts
end

-- Adds the logins of these lines to `counts`, except that of the line `own`.
local function count_all(counts, lines, own)
  for _, line in ipairs(lines) do
    if line ~= own then
      local till = struct.unpack('>I4', line, 8)
      counts[till] = (counts[till] or 0) + 1
    end
  end
end

-- Removes logins that would count for longer than `longest` quarters: they were counted before the
-- clock stepped back.
local function forget_beyond(counts, longest)
  for till in pairs(counts) do
    if till > math.ceil(quarter) + longest then
      counts[till] = nil
    end
  end
end

-- Returns until when no other login is within the limit, or nil if one is.
local function full_until(counts, limit)
  local total, left, full = 0, times(counts), nil
  for _, till in ipairs(left) do
    total = total + counts[till]
  end
  for _, till in ipairs(left) do
    if total < limit then
      break
    end
    total, full = total - counts[till], till
  end
  return full
end

local function micros_of(line)
  local high, low = struct.unpack('>I4I3', line)
  return high * 1048576 + math.floor(low / 16)
end

local function is_earlier(line, other)
  local high, low = struct.unpack('>I4I3', line)
  local its_high, its_low = struct.unpack('>I4I3', other)
  return high < its_high or high == its_high and low < its_low
end

-- The same line, but its login does not count, or is counted elsewhere.
local function uncounted(line)
  return string.sub(line, 1, 7) .. '\0\0\0\0' .. string.sub(line, 12)
end

-- Whether both lines have the same session key: then their nonces are equal. The lines of an app
-- without session keys have no nonce.
local function have_same_key(line, other)
  return #line > 25 and string.sub(line, 15, 26) == string.sub(other, 15, 26)
end

-- Returns the line among `lines` that is a repetition of `line`. Its key may have been resealed
-- since. If the clock has stepped back, it may have another time with the same random bits. The key
-- alone does not identify it, because WeChat may give the same key again.
local function repeated(line, lines)
  for at, kept in ipairs(lines) do
    local has_its_bits = string.byte(kept, 7) % 16 == string.byte(line, 7) % 16
    local is_moved = #line > 11 and micros_of(kept) > now and has_its_bits and string.sub(kept, 12) == string.sub(line, 12)
    if is_moved or string.sub(kept, 1, 7) == string.sub(line, 1, 7) then
      return kept, at
    end
  end
end

-- Returns the line with the order that it gets. If the latest stored exchange began after the
-- present time, the clock has stepped back since, and the line gets the next microsecond after that
-- exchange.
local function placed(line, latest)
  if not latest or is_earlier(latest, line) or micros_of(latest) <= now then
    return line
  end
  local place, random_bits = micros_of(latest) + 1, string.byte(line, 7) % 16
  local order = struct.pack('>I4I3', math.floor(place / 1048576), place % 1048576 * 16 + random_bits)
  return order .. string.sub(line, 8)
end

local function write(lines, counts, ...)
  local kept = ''
  for _, line in ipairs(lines) do
    kept = kept .. struct.pack('>I2', #line) .. line
  end
  redis.call('SET', KEYS[2], kept .. owner .. as_text(counts), ...)
end

-- Adds a line, and keeps the two latest lines. If WeChat has given the same key again, the new line
-- replaces only the line with that key, and the previous key's line if ten minutes
-- (PREVIOUS_KEY_TTL) have passed since it was replaced. `counts`: the other logins that count.
local function keep_line(line, lines, counts, seconds)
  local at, going = 1, 3
  while lines[at] and is_earlier(line, lines[at]) do
    at = at + 1
  end
  table.insert(lines, at, line)
  if lines[2] and have_same_key(lines[1], lines[2]) then
    going = 2
    if micros_of(lines[1]) - micros_of(lines[2]) >= 600000000 then
      count_all(counts, {table.remove(lines, 3)})
    end
  end
  count_all(counts, {table.remove(lines, going)})
  write(lines, counts, 'EX', seconds)
end

-- Whether the block that is noted on a binding belongs to this user and is on.
local function is_blocked(user, block_of, block)
  return user and block_of == user and string.sub(block, -2) == 'on'
end

-- Notes the second of a login on a binding, unless a later one is noted.
local function note_login(second)
  local noted = tonumber(redis.call('HGET', KEYS[1], 'l') or '0')
  redis.call('HSET', KEYS[1], 'l', string.format('%.0f', math.max(noted, second)))
end

-- Deletes the session keys. Unless the person `leaves`, a session with an owner stays, with the
-- order of the last exchange. If the person is bound, this notes two seconds on the binding: the
-- present second, because the user's tokens may be revoked together with the keys
-- (note_not_revoked.lua removes this note), and the second of the last exchange. The recent logins
-- move to a key of their own, so that a logout does not allow more logins.
local function drop_keys(leaves)
  local lines, counts = session()
  if redis.call('HEXISTS', KEYS[1], 'u') == 1 then
    redis.call('HSET', KEYS[1], 'd', time[1])
    if lines[1] then
      note_login(math.floor(micros_of(lines[1]) / 1000000))
    end
  elseif owner ~= '' and lines[1] and not leaves then
    count_all(counts, lines)
    return write({uncounted(string.sub(lines[1], 1, 11))}, counts, 'KEEPTTL')
  end
  if lines[1] then
    count_all(counts, lines)
    keep_counts(counts)
  end
  redis.call('DEL', KEYS[2])
end

-- Begins to bind a person to a user.
local function intend(generation, user, made, by_unionid)
  redis.call('HSET', KEYS[1], 'g', generation + 1, 'i', user, 'm', made, 'a', by_unionid)
end

-- Parses a list of unionids. Each is preceded by its length in one byte.
local function unionids(list)
  local found, at = {}, 1
  while at <= #list do
    local last = at + string.byte(list, at)
    table.insert(found, string.sub(list, at + 1, last))
    at = last + 1
  end
  return found
end

-- Writes a list of these unionids, each once, without `except`.
local function list_of(found, except)
  local list, seen = '', {[except] = true}
  for _, unionid in ipairs(found) do
    if not seen[unionid] then
      seen[unionid] = true
      list = list .. string.char(#unionid) .. unionid
    end
  end
  return list
end

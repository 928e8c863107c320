-- The short way of record_login.lua, in front of it: a person with a session logs in within the limit, and nothing else
-- has to be decided. Nearly all logins are so; or a person whose user id is computed logs in for the first time.
-- Whatever is unusual takes the long way, which decides everything anew; so does a session with another owner than the
-- login's, or with none, which a bound person has.
local time, kept, line = redis.call('TIME'), redis.call('GET', KEYS[2]), ARGV[1]
local owner = ARGV[6]
if kept and not ARGV[7] and (owner == '' or string.sub(kept, -#owner) == owner) then
  kept = string.sub(kept, 1, #kept - #owner)
  local quarter, own_high, own_low = (time[1] - 1577836800) * 4 + time[2] / 250000, struct.unpack('>I4I3', line)
  local length, high, low, till = struct.unpack('>I2I4I3I4', kept)
  local latest, rest, earlier_till = string.sub(kept, 1, 2 + length), #kept - 2 - length, 0
  if rest >= 13 then
    length, earlier_till = struct.unpack('>I2xxxxxxxI4', kept, #latest + 1)
    rest = rest - 2 - length
  end
  local is_later = high < own_high or high == own_high and low < own_low
  local logins, stays = till > 0 and till > quarter and 1 or 0, latest
  if #line > 25 and string.sub(kept, 17, 28) == string.sub(line, 15, 26) then
    -- WeChat has given the same key again: the line of before goes, and the other key if its ten minutes have passed.
    stays = own_high - high < 572 and string.sub(kept, #latest + 1) or ''
    earlier_till = math.max(earlier_till, till)
  end
  -- A login that still counts must not go with its line.
  if rest == 0 and is_later and earlier_till <= quarter and logins < tonumber(ARGV[3]) then
    redis.call('SET', KEYS[2], struct.pack('>I2', #line) .. line .. stays .. owner, 'EX', ARGV[2])
    return time[1] .. ' ' .. time[2] .. ' ='
  end
elseif not kept and owner ~= '' and not ARGV[7]
    and redis.call('HLEN', KEYS[1]) == 0 and not redis.call('GET', KEYS[3]) then
  redis.call('SET', KEYS[2], struct.pack('>I2', #line) .. line .. owner, 'EX', ARGV[2])
  return time[1] .. ' ' .. time[2] .. ' +'
end

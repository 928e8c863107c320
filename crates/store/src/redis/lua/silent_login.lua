-- The short way of record_login.lua, in front of it: a person with a session logs in within the limit, and nothing else
-- has to be decided. Nearly all logins are so; or a person whose user id is computed logs in for the first time.
-- Whatever is unusual takes the long way, which decides everything anew; so does a session with another owner than the
-- login's, or with none, which a bound person has.
local kept, line, owner = redis.call('GET', KEYS[2]), ARGV[1], ARGV[4]
if kept and not ARGV[5] and (owner == '' or string.sub(kept, -#owner) == owner) then
  local ends, own_high, own_low = #kept - #owner, struct.unpack('>xxI4I3', line)
  -- When this exchange began, which is a little before now: whoever is within the limit then is so now.
  local quarter = (own_high * 1048576 + own_low / 16) / 250000 - 6311347200
  local length, high, low, till = struct.unpack('>I2I4I3I4', kept)
  local first, last, rest, earlier_till = 1, 2 + length, ends - 2 - length, 0
  if rest >= 13 then
    length, earlier_till = struct.unpack('>I2xxxxxxxI4', kept, last + 1)
    rest = rest - 2 - length
  end
  if #line > 27 and string.sub(kept, 17, 28) == string.sub(line, 17, 28) then
    -- WeChat has given the same key again: the line of before goes, and the other key if its ten minutes have passed.
    first, last = last + 1, own_high - high < 572 and ends or 0
    earlier_till = math.max(earlier_till, till)
  end
  -- A login that still counts must not go with its line.
  if rest == 0 and (high < own_high or high == own_high and low < own_low) and earlier_till <= quarter
      and (till <= quarter or string.sub(ARGV[3], 1, 2) ~= '1 ') then
    redis.call('SET', KEYS[2], line .. string.sub(kept, first, last) .. owner, 'EX', ARGV[2])
    return '='
  end
elseif not kept and owner ~= '' and not ARGV[5]
    and redis.call('HLEN', KEYS[1]) == 0 and not redis.call('GET', KEYS[3]) then
  redis.call('SET', KEYS[2], line .. owner, 'EX', ARGV[2])
  return '+'
end

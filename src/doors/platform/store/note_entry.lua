-- Notes the newest of a platform's entries. KEYS: platform, the push that has said it (one hash slot). ARGV: entry,
-- second, value, what is expected to be held ('' for whatever is not later, 'nothing', 'not ' and what must not be),
-- seconds for which the push is remembered (0 if there was none). Answers 1; 0 if the push was noted before, something
-- later is known, or it is not what was expected.
local is_push = ARGV[5] ~= '0'
if is_push and redis.call('GET', KEYS[2]) then
  return 0
end
local held, noted = redis.call('HGET', KEYS[1], ARGV[1]), 1
-- A value that cannot be read is earlier than everything else.
local at = held and tonumber(string.match(held, '^(%-?%d+) ') or '-1') or -1
local is_expected = ARGV[4] == '' or ARGV[4] == (held or 'nothing')
if string.sub(ARGV[4], 1, 4) == 'not ' then
  is_expected = string.sub(ARGV[4], 5) ~= held
end
if not is_expected or at > tonumber(ARGV[2]) then
  noted = 0
else
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[2] .. ' ' .. ARGV[3])
  -- No count, which could be the same again after writes were lost.
  local time, before = redis.call('TIME'), redis.call('HGET', KEYS[1], 'v')
  local micros = math.max(time[1] * 1000000 + time[2], tonumber(before or 0) + 1)
  redis.call('HSET', KEYS[1], 'v', string.format('%.0f', micros))
end
if is_push then
  redis.call('SET', KEYS[2], '', 'EX', ARGV[5])
end
return noted

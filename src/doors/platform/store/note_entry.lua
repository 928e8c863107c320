-- Writes an entry of a platform. KEYS: the platform's hash, and the key of the push that carries
-- the entry (one hash slot). ARGV: name of the entry, second, value, the expected stored entry, and
-- seconds for which the push is remembered (0 without a push). The expected entry is '' for any
-- that is not later, 'nothing' for none, 'not ' and an entry for any but that one, or an entry.
-- Returns 1, or 0 if the push was handled before, a later entry is stored, or the stored entry is
-- not as expected.
local is_push = ARGV[5] ~= '0'
if is_push and redis.call('GET', KEYS[2]) then
  return 0
end
local held, noted = redis.call('HGET', KEYS[1], ARGV[1]), 1
-- An unreadable value counts as older than all others.
local at = held and tonumber(string.match(held, '^(%-?%d+) ') or '-1') or -1
local is_expected = ARGV[4] == '' or ARGV[4] == (held or 'nothing')
if string.sub(ARGV[4], 1, 4) == 'not ' then
  is_expected = string.sub(ARGV[4], 5) ~= held
end
if not is_expected or at > tonumber(ARGV[2]) then
  noted = 0
else
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[2] .. ' ' .. ARGV[3])
  -- The version is a time and not a count, because a count could repeat after writes were lost.
  local time, before = redis.call('TIME'), redis.call('HGET', KEYS[1], 'v')
  local micros = math.max(time[1] * 1000000 + time[2], tonumber(before or 0) + 1)
  redis.call('HSET', KEYS[1], 'v', string.format('%.0f', micros))
end
if is_push then
  redis.call('SET', KEYS[2], '', 'EX', ARGV[5])
end
return noted

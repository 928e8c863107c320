-- Notes lives of tokens, or of refresh tokens. KEYS: the lives, each with the second up to which
-- such a token may be left; and for lives of tokens, the mark of this Redis, and since when it may
-- lack revocations (one hash slot). ARGV: the second of the caller's clock; the life that is issued
-- now, or '', and how long until it is noted again at the latest; a new mark ('' for refresh
-- tokens), and how many seconds a possible loss is kept; then lives that were known before, each
-- with its second. Deletes a life only if it has passed by both clocks.
local now, own = tonumber(redis.call('TIME')[1]), tonumber(ARGV[1])
local earlier, later = math.min(now, own), math.max(now, own)
local lives = redis.call('HGETALL', KEYS[1])
for index = 1, #lives, 2 do
  if tonumber(lives[index + 1]) < earlier then
    redis.call('HDEL', KEYS[1], lives[index])
  end
end
-- A Redis without lives or without a mark is new or was emptied.
if ARGV[4] ~= '' and (#lives == 0 or not redis.call('GET', KEYS[2])) then
  redis.call('SET', KEYS[3], string.format('%.0f', earlier), 'NX', 'EX', ARGV[5])
  redis.call('SET', KEYS[2], ARGV[4])
end

local function note(life, last)
  local held = tonumber(redis.call('HGET', KEYS[1], life) or '0')
  redis.call('HSET', KEYS[1], life, string.format('%.0f', math.max(held, last)))
end

if ARGV[2] ~= '' then
  note(ARGV[2], later + tonumber(ARGV[2]) + tonumber(ARGV[3]))
end
for index = 6, #ARGV, 2 do
  note(ARGV[index], tonumber(ARGV[index + 1]))
end
redis.call('PERSIST', KEYS[1])
return 0

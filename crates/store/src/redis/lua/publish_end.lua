-- Puts an end into the stream. KEYS: the stream, and the lives of tokens (one hash slot; see note_life.lua). ARGV: the end, the
-- longest life that tokens can have, the leeway. The stream keeps the end until no token can be left that it names, and for
-- another leeway, because the clock of a verifier may be behind. Answers for how many seconds that is.
-- An end that must be there once has a note as a third key, which is kept as long as the end, and a fourth argument. If the note is
-- there already, nothing is done, and the answer is 0.
local now, life = tonumber(redis.call('TIME')[1]), 0
local lives = redis.call('HGETALL', KEYS[2])
for index = 1, #lives, 2 do
  if tonumber(lives[index + 1]) >= now then
    life = math.max(life, tonumber(lives[index]))
  end
end
if life == 0 then
  life = tonumber(ARGV[2])
end
local kept = life + 2 * ARGV[3]
if ARGV[4] and not redis.call('SET', KEYS[3], '', 'NX', 'EX', string.format('%.0f', kept)) then
  return 0
end
redis.call('XADD', KEYS[1], 'MINID', '~', string.format('%.0f', math.max(now - kept, 0) * 1000), '*', 'end', ARGV[1])
redis.call('EXPIRE', KEYS[1], string.format('%.0f', kept))
return kept

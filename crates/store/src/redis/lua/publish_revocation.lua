-- Adds a revocation to the stream. KEYS: the stream, the lives of tokens, and the note of a
-- revocation that must be added only once (one hash slot). ARGV: the text of the revocation before
-- its date, and after it; the least date; the second up to which a user's tokens are revoked, or ''
-- if the date is known; the longest life that tokens can have; the second of the caller's clock,
-- and by how many seconds Redis may be ahead; and the options of the SET that writes the note, if
-- there is one. The note is written after the entry, because Redis undoes nothing if a script
-- fails. Needs revocations.lua. The date is when the last token that the revocation names expires.
-- Answers by how many seconds Redis is ahead, if that is too far; the date; and whether the
-- revocation was added. It is not added if the option is NX and there is a note, which has the
-- date.
local own = tonumber(ARGV[6])
local now, ahead = now_or_ahead(own, ARGV[7])
if ahead then
  return {ahead, 0, 0}
end
local noted = ARGV[8] == 'NX' and redis.call('GET', KEYS[3])
if noted then
  return {false, tonumber(noted) or 0, 0}
end

-- When the last token that was issued up to `before` expires. Tokens of a life that is no longer
-- issued have expired by the second that is noted with that life. If no life is known, tokens may
-- have the longest life.
local function last_exp(before, longest)
  local lives, earlier, latest = redis.call('HGETALL', KEYS[2]), math.min(now, own), 0
  if #lives == 0 then
    return before + longest
  end
  for index = 1, #lives, 2 do
    local last = tonumber(lives[index + 1])
    if last >= earlier then
      latest = math.max(latest, math.min(before + tonumber(lives[index]), last))
    end
  end
  return latest
end

local date = tonumber(ARGV[3])
if ARGV[4] ~= '' then
  date = math.max(date, last_exp(tonumber(ARGV[4]), tonumber(ARGV[5])))
end
local text = string.format('%.0f', date)
redis.call('XADD', KEYS[1], '*', 'end', ARGV[1] .. text .. ARGV[2])
if ARGV[8] then
  redis.call('SET', KEYS[3], text, unpack(ARGV, 8))
end
return {false, date, 1}

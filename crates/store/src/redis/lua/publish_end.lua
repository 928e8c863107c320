-- Puts an end into the stream. KEYS: the stream, the lives of tokens, and of an end that must be there once its note
-- (one hash slot). ARGV: the text of the end before its date and behind it; the least date; the second BEFORE of an end
-- of a user's tokens, or '' where the date is known; the longest life that tokens can have; the second of the caller's
-- clock, by how many seconds Redis may be ahead; and the options by which SET notes the end, if it does: after the
-- entry, because Redis takes back nothing of a script that fails. Needs ends.lua. The date says when the last token
-- that the end names has expired. Answers by how much Redis is ahead, if it is by more, the date, and whether the end
-- was added: not if SET must not replace the note, which has the date.
local own = tonumber(ARGV[6])
local now, ahead = now_or_ahead(own, ARGV[7])
if ahead then
  return {ahead, 0, 0}
end
local noted = ARGV[8] == 'NX' and redis.call('GET', KEYS[3])
if noted then
  return {false, tonumber(noted) or 0, 0}
end

-- Tokens of a life that nobody issues any more have expired by the second that is noted with it. Where no life is
-- known, tokens may have any.
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

-- Puts an end into the stream. KEYS: the stream, and of an end that must be there once its note (one hash slot).
-- ARGV: the end, the second of the caller's clock, by how many seconds Redis may be ahead, and the options by which SET
-- notes the end, if it does: after the entry, because Redis takes back nothing of a script that fails. Needs ends.lua.
-- The entry's id says when it was put there: by the later of the two clocks, because it is deleted by its age. Answers
-- by how much Redis is ahead, if it is by more, and whether the end was added: not if SET must not replace the note.
local now, ahead = now_or_ahead(ARGV[2], ARGV[3])
if ahead then
  return {ahead, 0}
elseif ARGV[4] == 'NX' and redis.call('GET', KEYS[2]) then
  return {false, 0}
elseif now >= tonumber(ARGV[2]) or redis.pcall('XADD', KEYS[1], ARGV[2] .. '000-0', 'end', ARGV[1]).err then
  redis.call('XADD', KEYS[1], '*', 'end', ARGV[1])
end
if ARGV[4] then
  redis.call('SET', KEYS[2], '', unpack(ARGV, 4))
end
return {false, 1}

-- Changes the session keys of a person, or the notes that decide whether the person may have any.
-- KEYS: binding, session, login counter (one hash slot). ARGV: step, and the step's arguments.
-- Needs session.lua.
--   'forget': deletes the keys. Argument: optionally a second; then nothing is deleted if the
--     latest key came with a login of a later second.
--   'leave': deletes the session with its owner, unless a login has brought a key since the keys
--     were deleted.
--   'reseal': replaces a sealed key, if it is still there. Arguments: the sealed key, the same key
--     sealed anew.
--   'keep': stores a key, if the person is bound with this generation and not blocked, or if the
--     generation is 0 and the session has an owner. Arguments: generation; line of the session,
--     preceded by its length; life of the session in seconds; '1' if there must still be a session,
--     because the key replaces one that a logout may have deleted meanwhile; the second of the
--     login, which is noted if it is later than the exchange, because a revocation of the person's
--     tokens must cover it.
--   'block': notes whether the person's user is blocked, unless a later change is already noted. A
--     block deletes the session keys, even if a later change is noted. Arguments: user, number of
--     the change, 'on' or 'off'.
--   'share': notes that a unionid of the person may also belong to another user. Argument: user.
local step = ARGV[1]
if step == 'leave' then
  local latest = session()[1]
  -- A deleted key leaves the order of its exchange.
  if not latest or #latest <= 11 then
    drop_keys(true)
  end
elseif step == 'forget' then
  local latest = session()[1]
  -- A key that was reset counts no login, and the second of a key that is dated ahead of the clock
  -- is unknown. Either may belong to the token that is logged out now, so both are deleted.
  local is_dated = latest and struct.unpack('>I4', latest, 8) > 0 and micros_of(latest) <= now
  if not (ARGV[2] and is_dated and micros_of(latest) >= (ARGV[2] + 1) * 1000000) then
    drop_keys()
  end
elseif step == 'reseal' then
  local lines, counts = session()
  for at, line in ipairs(lines) do
    if string.sub(line, 12) == ARGV[2] then
      lines[at] = string.sub(line, 1, 11) .. ARGV[3]
      write(lines, counts, 'KEEPTTL')
    end
  end
elseif step == 'keep' then
  local held = redis.call('HMGET', KEYS[1], 'g', 'u', 'k', 's')
  local line, lines, counts = string.sub(ARGV[3], 3), session()
  local is_bound = held[1] == ARGV[2] and held[2] and not is_blocked(held[2], held[3], held[4])
  if is_bound or ARGV[2] == '0' and owner ~= '' then
    if not lines[1] then
      add_all(counts, redis.call('GET', KEYS[3]) or '')
    end
    if (lines[1] and (is_bound or #lines[1] > 11) or ARGV[5] ~= '1') and not repeated(line, lines) then
      keep_line(placed(line, lines[1]), lines, counts, ARGV[4])
    end
    if is_bound and tonumber(ARGV[6]) * 1000000 > micros_of(line) + 1000000 then
      note_login(tonumber(ARGV[6]))
    end
  end
elseif step == 'share' then
  if redis.call('HGET', KEYS[1], 'u') == ARGV[2] then
    redis.call('HSET', KEYS[1], 'r', '1')
  end
elseif step == 'block' then
  local held = redis.call('HMGET', KEYS[1], 'u', 'i', 'k', 's')
  local changes = held[3] == ARGV[2] and tonumber(string.match(held[4], '^%d+')) or 0
  if (held[1] == ARGV[2] or held[2] == ARGV[2]) and changes <= tonumber(ARGV[3]) then
    redis.call('HSET', KEYS[1], 'k', ARGV[2], 's', ARGV[3] .. ' ' .. ARGV[4])
  end
  if ARGV[4] == 'on' then
    drop_keys()
  end
end
return 0

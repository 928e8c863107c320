-- Counts a login, says where the person stands, and keeps the session key. Needs binding.lua, meter.lua and keep_key.lua.
-- KEYS: binding, session, cell of logins (one hash slot).
-- ARGV: exchange order, sealed key, session's seconds, from which order on its life is renewed, limit, part of its period,
-- milliseconds of the cell; and if there is an intent its user, and whether wxmint makes the user.
-- How often the person has logged in lately stands in the session where there is one, because a key that is made and expires
-- costs more than all else here; otherwise in the cell.
-- Answers the number of the part that must leave the period before the login is counted, or '', and the fields of the binding,
-- each before its value. They are one text, a line for each, because an array costs Redis 2 µs more.
-- Repeated with the same arguments it counts once more, and otherwise changes nothing and answers the same.
local bound = redis.call('HMGET', KEYS[1], 'user_id', 'generation', 'unionid', 'new_for', 'block_of', 'unconfirmed')
local kept = kept_keys()
local logins
if kept[1] then
  logins = kept[4]
else
  logins = redis.call('GET', KEYS[3])
end
local text, last = counted(logins, ARGV[5], ARGV[6], ARGV[7])

-- A silent login.
if bound[1] and not bound[5] then
  keep_key(kept, ARGV[1], ARGV[2], ARGV[3], ARGV[4], text or logins)
  return (last or '') .. '\nuser_id\n' .. bound[1] .. '\ngeneration\n' .. (bound[2] or '') .. '\nunionid\n' .. (bound[3] or '')
    .. '\nnew_for\n' .. (bound[4] or '') .. '\nunconfirmed\n' .. (bound[6] or '')
end

local user, intended, own = bound[1], redis.call('HGET', KEYS[1], 'intent_user'), ARGV[8]
-- Only if the person was never bound: a repetition must not undo a dissolution that came between.
if text and own and not (user or intended) and (bound[2] or '0') == '0'
  and redis.call('HEXISTS', KEYS[1], 'leaving_user') == 0 then
  intend(own, ARGV[9], '')
  intended = own
end
local blocked = user and bound[5] == user and string.sub(redis.call('HGET', KEYS[1], 'block') or '', -2) == 'on'
-- Also over the limit, because WeChat has forgotten the old key. LoginRecord::keeps_key is the same condition.
if user and not blocked or not user and own and intended == own then
  keep_key(kept, ARGV[1], ARGV[2], ARGV[3], ARGV[4], text or logins)
elseif text and kept[1] then
  redis.call('HSET', KEYS[2], 'logins', text)
elseif text then
  redis.call('SET', KEYS[3], text, 'PX', ARGV[7])
end
return (last or '') .. '\n' .. table.concat(redis.call('HGETALL', KEYS[1]), '\n')

-- Keeps a session key and finds or makes the binding. KEYS: session, binding (one hash slot).
-- ARGV: exchange order, sealed key, session's seconds, user id if unbound ('' for none), unionid ('' for none), now (ms).
-- Answers the user id or false. Repeated with the same arguments it changes nothing and answers the same.
local session, binding = KEYS[1], KEYS[2]
local order, sealed, user = ARGV[1], ARGV[2], ARGV[4]

local kept = redis.call('HMGET', session, 'current_order', 'current_key', 'previous_order')
if not kept[1] then
  redis.call('HSET', session, 'current_order', order, 'current_key', sealed)
elseif order > kept[1] then
  redis.call('HSET', session, 'current_order', order, 'current_key', sealed,
    'previous_order', kept[1], 'previous_key', kept[2])
elseif order < kept[1] and (not kept[3] or order > kept[3]) then
  redis.call('HSET', session, 'previous_order', order, 'previous_key', sealed)
end
redis.call('EXPIRE', session, ARGV[3])

local bound = redis.call('HGET', binding, 'user_id')
if not bound and user ~= '' then
  redis.call('HSET', binding, 'user_id', user, 'bound_at', ARGV[6])
  bound = user
end
if bound and ARGV[5] ~= '' then
  redis.call('HSETNX', binding, 'unionid', ARGV[5])
end
return bound

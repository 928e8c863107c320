-- Where a person stands, for `attempt`. In front of the scripts that say so, whose KEYS[1] is the binding.
local function binding_state(attempt)
  local b = redis.call('HMGET', KEYS[1], 'generation', 'user_id', 'unionid', 'new_for',
    'intent_user', 'intent_made', 'intent_by_unionid', 'leaving_user', 'dissolved', 'block_of', 'block', 'unconfirmed',
    'leaving_since')
  local generation = b[1] or '0'
  if b[2] then
    local blocked = b[10] == b[2] and string.sub(b[11], -2) == 'on'
    return {'bound', generation, b[2], b[3] or '', b[4] == attempt and '1' or '', blocked and '1' or '', b[12] or ''}
  elseif b[5] then
    return {'intended', generation, b[5], b[6] or '', b[7] or '', '', ''}
  elseif b[8] then
    return {'leaving', generation, b[8], b[13] or '', '', '', ''}
  end
  return {'free', generation, '', b[9] or '', '', '', ''}
end

-- What the scripts answer: one text, which is read with less work than an array. No member has a space in it.
local function told(state)
  return table.concat(state, ' ')
end

local function intend(user, made, by_unionid)
  redis.call('HINCRBY', KEYS[1], 'generation', 1)
  -- What was erased of the person has left a number that expires.
  redis.call('PERSIST', KEYS[1])
  redis.call('HSET', KEYS[1], 'intent_user', user, 'intent_made', made, 'intent_by_unionid', by_unionid)
end

-- Decides whether a user admits a person, once for each generation. KEYS: the user's list, the
-- persons who have left it, and the generation of this person if the person was erased from it (one
-- hash slot). The first two have the generation and a sign for each person. Signs on the list: '+'
-- admitted, '*' admitted as the first person; 'c' after a day: seen on that day, with a computed
-- user id. Signs of persons who have left: '-' unbound; or not admitted, because 'f' the list was
-- full, 'd' the user had no bindings left, 'b' the user was blocked. The list's fields `block`,
-- `ended` and `floor` are not persons. `floor` is the greatest generation of an erased person.
-- ARGV: person, generation, the beginning of all persons of the app, persons per app, by unionid
-- ('1' or ''). Answers the sign.
local person, generation = ARGV[1], tonumber(ARGV[2])

local list, all = {}, redis.call('HGETALL', KEYS[1])
for index = 1, #all, 2 do
  list[all[index]] = all[index + 1]
end
local held = list[person] or redis.call('HGET', KEYS[2], person)
if held and string.sub(held, -1) ~= 'c' then
  local decided, sign = string.match(held, '^(%d+)(.)$')
  decided = tonumber(decided)
  if decided == generation then
    return sign
  elseif decided > generation then
    return '-'
  end
end

local floor = math.max(tonumber(list.floor or '0'), tonumber(redis.call('GET', KEYS[3]) or '0'))
if generation <= floor then
  return '-'
end
local gone = redis.call('HLEN', KEYS[2])
local anybody, of_app, people = false, 0, gone
for other in pairs(list) do
  if other ~= 'block' and other ~= 'ended' and other ~= 'floor' then
    people = people + 1
    if other ~= person then
      anybody = true
      if string.sub(other, 1, #ARGV[3]) == ARGV[3] then
        of_app = of_app + 1
      end
    end
  end
end

local sign = people == 0 and '*' or '+'
if list.block and string.sub(list.block, -2) == 'on' then
  sign = 'b'
elseif of_app >= tonumber(ARGV[4]) then
  sign = 'f'
elseif ARGV[5] == '1' and (people > 0 or floor > 0) and not anybody then
  sign = 'd'
end
-- An emptied list has an expiry, which ends now. This comes before the decision, because Redis
-- undoes nothing if a script fails, and a repetition that finds the decision stops there.
if #all > 0 or gone > 0 then
  redis.call('PERSIST', KEYS[1])
  redis.call('PERSIST', KEYS[2])
end
if sign == '*' or sign == '+' then
  redis.call('HSET', KEYS[1], person, ARGV[2] .. sign)
  if gone > 0 then
    redis.call('HDEL', KEYS[2], person)
  end
else
  redis.call('HSET', KEYS[2], person, ARGV[2] .. sign)
  redis.call('HDEL', KEYS[1], person)
end
return sign

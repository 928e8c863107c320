-- Records a login: counts it, stores its session key with a binding, and may begin to bind a person
-- who was never bound. KEYS: binding, session, login counter (one hash slot). ARGV: line of the
-- session, preceded by its length; life of the session in seconds; in one text, separated by
-- blanks: the limit, for how long a login may count at most (quarters of a second), and '1' if
-- nothing is to be recorded for a person who was never bound; the owner of a session without a
-- binding ('' for none); and if there is an intent, its user, whether wxmint makes the user, and
-- whether a unionid names the user. There are few arguments, because each costs Redis time. Needs
-- session.lua. Answers 'newcomer' if nothing was recorded; 'other' if the session has another
-- owner, or has an owner although user ids are drawn. Otherwise the answer begins with a sign: '='
-- if the session key was stored in an existing session, '>' the same after the clock has stepped
-- back, '+' if it was stored in a new session, '*' if this is a repetition that may have begun the
-- session, '-' if it was not stored. Then 'b' follows if the person has a binding although an owner
-- was given, and then until when no login is within the limit, if this login was not. A repetition
-- with the same arguments counts at most once more, and otherwise changes nothing.
local own, limit, longest, told = string.sub(ARGV[1], 3), string.match(ARGV[3], '^(%d+) (%d+)(.*)$')
longest = tonumber(longest)
local all, held = redis.call('HGETALL', KEYS[1]), {}
for at = 1, #all, 2 do
  held[all[at]] = all[at + 1]
end
local user, intended, wished = held.u, held.i, ARGV[5]
local is_strange = not (user or intended or held.q or held.v) and (held.g or '0') == '0'

local lines, counts = session()
local has_binding = user or intended or held.q
if has_binding then
  owner = ''
elseif owner ~= '' and (told ~= '' or ARGV[4] ~= '' and owner ~= ARGV[4]) then
  return 'other'
elseif ARGV[4] ~= '' then
  owner = ARGV[4]
end
local latest, known, at = lines[1], repeated(own, lines)
if not latest then
  if is_strange and told ~= '' then
    return 'newcomer'
  end
  add_all(counts, redis.call('GET', KEYS[3]) or '')
end
local logins = {}
-- Another replica may count with a longer period while settings change: at most 30 days plus a
-- quarter of them.
forget_beyond(counts, 12960000)
for till, several in pairs(counts) do
  logins[till] = several
end
count_all(logins, lines, known)
forget_beyond(logins, longest)
local full = full_until(logins, tonumber(limit))

-- Only a person who is bound or is being bound, and is not blocked, has a session; or one with a
-- computed user.
local keeps = latest
if not latest then
  -- Only if the person was never bound: a repetition must not undo an unbinding that came
  -- meanwhile.
  if not full and wished and is_strange then
    intend(0, wished, ARGV[6], ARGV[7])
    intended = wished
  end
  local wanted = user or wished and intended == wished and wished
  keeps = owner ~= '' or wanted and not is_blocked(wanted, held.k, held.s)
end
local line = placed(own, latest)
if keeps and not known then
  -- The key is stored even over the limit, because WeChat no longer accepts the old key.
  keep_line(full and uncounted(line) or line, lines, counts, ARGV[2])
elseif keeps and not full and struct.unpack('>I4', known, 8) == 0 then
  -- This login was refused before, and its repetition is admitted.
  lines[at] = string.sub(known, 1, 7) .. string.sub(own, 8, 11) .. string.sub(known, 12)
  write(lines, counts, 'KEEPTTL')
elseif not keeps and not full then
  count_all(counts, {line})
  keep_counts(counts)
end
local sign = not keeps and '-' or known and not lines[2] and '*' or not latest and '+' or line == own and '=' or '>'
return sign .. (has_binding and ARGV[4] ~= '' and 'b' or '') .. (full or '')

-- Dates the token of a login. Needs date.lua. KEYS: the user's ends. ARGV: appid, second of the login, latest second.
-- Answers the second; nothing is noted if it is after the latest one.
return date(ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]))

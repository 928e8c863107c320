-- The limit of a person's logins, as `limits.rs` counts events. In front of the scripts that count them.
-- A text holds until when any of the logins counts, the numbers of the parts of the period and how many logins each had, the
-- newest first, and for how many milliseconds it is needed: '00064…c0 14110293:1 14110290:2/1125'.
-- `first`: the text of the first login in `part`. For a login after those of `logins`: answers the new text, or nil and the
-- number of the part that must have left the period before it is counted.
local function counted(logins, first, limit, part)
  local total, own, older, numbers, counts = 0, 0, '', {}, {}
  for number, events in string.gmatch(string.sub(logins, 18), '(%d+):(%d+)') do
    -- Replicas may differ a little in what they take for the clock of Redis. What is far ahead is of another period's length.
    local age = part - number
    if age <= 8 and age >= -8 then
      total = total + events
      table.insert(numbers, number)
      table.insert(counts, events)
      if age == 0 then
        own = events
      else
        older = older .. ' ' .. number .. ':' .. events
      end
    end
  end
  if total < tonumber(limit) then
    return string.sub(first, 1, 17) .. part .. ':' .. own + 1 .. older .. string.match(first, '/%d+$')
  end
  local left = #numbers
  while total - counts[left] >= tonumber(limit) do
    total = total - counts[left]
    left = left - 1
  end
  return nil, numbers[left]
end

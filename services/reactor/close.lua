-- Ends a session; whoever runs it finds out at its next tick.
-- KEYS 1 session 2 lease 3 frames 4 closed. ARGV 1 ms for which it is remembered that it was closed.
-- Gives the number of frames that it made, -2 if it was closed before, -3 if it is not known.
local made = redis.call('HGET', KEYS[1], 'next')
if not made then
  return redis.call('EXISTS', KEYS[4]) == 1 and -2 or -3
end
redis.call('DEL', KEYS[1], KEYS[2], KEYS[3])
redis.call('SET', KEYS[4], made, 'PX', ARGV[1])
return tonumber(made)

-- One tick of one session: its state, its new frame and its lease, all or nothing.
-- KEYS  1 session (hash)  2 lease  3 frames (stream)  4 closed
-- ARGV  1 fence  2 sequence of the frame  3 the next one  4 state  5 frame  6 lease, ms  7 expiry, ms  8 frames kept
-- Gives the version of the session's settings, or: -1 another replica runs it, -2 it is closed, -3 it is not known,
-- -4 the store holds other frames than this replica has made.
local held = redis.call('HMGET', KEYS[1], 'fence', 'next', 'version')
if not held[1] then
  return redis.call('EXISTS', KEYS[4]) == 1 and -2 or -3
end
if held[1] ~= ARGV[1] then return -1 end
if held[2] ~= ARGV[2] then return -4 end
redis.call('HSET', KEYS[1], 'state', ARGV[4], 'next', ARGV[3])
redis.call('XADD', KEYS[3], 'MAXLEN', '~', ARGV[8], ARGV[2] .. '-1', 'f', ARGV[5])
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[6])
redis.call('PEXPIRE', KEYS[1], ARGV[7])
redis.call('PEXPIRE', KEYS[3], ARGV[7])
return tonumber(held[3])

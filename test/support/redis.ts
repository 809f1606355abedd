/** Redis servers for tests; the same that simulators use. */
export { findRedis, installRedis, RedisServer, type Run, startRedis } from '../../simulators/rig/redis.ts';

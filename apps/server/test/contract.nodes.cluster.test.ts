import { hasMongo, hasNginx, hasRedis } from '@duet/testkit';
import { describe } from 'vitest';
import { contractSuite } from './contract-suite.ts';
import { behindNginx, mongoRedis } from './shapes.ts';

const services = hasMongo() && hasRedis();
describe.skipIf(!services)('with MongoDB and Redis', () => contractSuite(mongoRedis));
describe.skipIf(!services || !hasNginx())('behind nginx', () => contractSuite(behindNginx));

import { hasMongo, hasRedis } from '@duet/testkit';
import { describe } from 'vitest';
import { contractSuite } from './contract-suite.ts';
import { embeddedRedis, mongoWorkers } from './shapes.ts';

describe.skipIf(!hasRedis())('with Redis', () => contractSuite(embeddedRedis));
describe.skipIf(!hasMongo())('with MongoDB', () => contractSuite(mongoWorkers));

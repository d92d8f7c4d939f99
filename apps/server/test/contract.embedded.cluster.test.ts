import { contractSuite } from './contract-suite.ts';
import { embedded, embeddedWorkers } from './shapes.ts';

for (const shape of [embedded, embeddedWorkers]) contractSuite(shape);

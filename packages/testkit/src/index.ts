export * from './chat-client.ts';
export * from './cluster-suite.ts';
export * from './hostile.ts';
export * from './import-boundaries.ts';
export * from './manual-clock.ts';
export * from './server-process.ts';
export * from './services.ts';
export * from './store-suite/index.ts';

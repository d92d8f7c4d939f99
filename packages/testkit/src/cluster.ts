// What starts a cluster on this machine, without anything of a test runner.
export { databaseOf, lackOfMongo, lackOfRedis, startMongo, startRedis } from './backing-services.ts';
export * from './deployment.ts';
export * from './ending.ts';
export * from './hosts.ts';
export { lackOfNginx, startNginx } from './nginx.ts';
export { type ServerProcess, startServer, temporaryFolder } from './server-process.ts';
export { listens, type ServiceProcess } from './service-process.ts';
export { findProgram, lackOf } from './services.ts';

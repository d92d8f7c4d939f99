export * from './asyncapi.ts';
export * from './errors.ts';
export * from './events.ts';
export * from './limits.ts';
export * from './model.ts';
export * from './openapi.ts';
export * from './routes.ts';
export * from './validate.ts';

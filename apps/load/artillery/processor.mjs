// Artillery's own compiler makes CommonJS of a .ts file, which this package is not; Node strips the types itself.
export * from '../src/virtual-user.ts';

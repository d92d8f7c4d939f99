import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['{apps,packages}/*/{src,test}/**/*.test.ts', 'docs/*.test.ts'],
    // Real servers, databases and browsers answer when they can; a pass does not wait for these.
    testTimeout: 90_000,
    hookTimeout: 120_000,
    // Each file may start several processes: more files at once than cores only makes them slow.
    maxWorkers: 2,
    retry: 0,
  },
});

import { defineConfig } from 'vitest/config';

/** Needs what docker-compose.yml makes: .ci/compose starts that and runs these. */
const composed = ['apps/server/test/compose.test.ts'];
const aroundCompose = process.env.DUET_TEST_COMPOSE !== undefined;

export default defineConfig({
  test: {
    include: aroundCompose ? composed : ['{apps,packages}/*/{src,test}/**/*.test.ts', 'docs/*.test.ts'],
    exclude: aroundCompose ? [] : composed,
    // Real servers, databases and browsers answer when they can; a pass does not wait for these.
    testTimeout: 90_000,
    hookTimeout: 120_000,
    expect: { poll: { timeout: 30_000 } },
    // Each file may start several processes: more files at once than cores only makes them slow.
    maxWorkers: 2,
    retry: 0,
  },
});

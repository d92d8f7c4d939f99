// Lets Schemathesis at a node's REST API for a while: node apps/server/test/fuzz-api.ts path/to/schemathesis [seconds]
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { register, startServer, temporaryFolder } from '@duet/testkit';
import { MAIN } from './shapes.ts';

const [program = 'schemathesis', seconds = '60'] = process.argv.slice(2);
const DOCUMENT = fileURLToPath(new URL('../../../docs/openapi.json', import.meta.url));
/** After these there is nobody left to ask for. */
const ENDING = ['logout', 'endSession', 'deleteAccount'];
/** What is so by decision: unknown fields are dropped, large pages cut, a route that does not exist is not found. */
const BY_DECISION = ['unsupported_method', 'negative_data_rejection', 'positive_data_acceptance'];
/** What it makes many times over. */
const MIN_CASES = 8 * Number(seconds);

using folder = temporaryFolder();
const server = await startServer(MAIN, { DATA_DIR: folder.path });
try {
  const { token } = await register(server.url);
  const child = spawn(
    program,
    [
      ...['run', DOCUMENT, '--url', `${server.url}/api`, '-H', `Authorization: Bearer ${token}`],
      ...ENDING.flatMap((name) => ['--exclude-operation-id', name]),
      ...['--exclude-checks', BY_DECISION.join()],
      ...['--max-time', seconds, '--generation-database', 'none', '--no-color'],
    ],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  // Its report is long, and full of advice to whoever wrote the document: it is shown when there is something in it.
  const [report, [code]] = await Promise.all([text(child.stdout), once(child, 'exit')]);
  const [, cases] = /(\d+) generated, \1 passed/.exec(report) ?? [];
  if (code !== 0 || cases === undefined) console.log(report);
  assert.equal(code, 0, 'Schemathesis has found something');
  assert.ok(Number(cases) > MIN_CASES, 'Schemathesis has hardly asked');
  assert.equal((await fetch(`${server.url}/health`)).status, 200);
  assert.doesNotMatch(server.output(), /TypeError|Unhandled|"level":(50|60)/);
  console.log(`${cases} cases, each answered as the document says`);
} finally {
  await server.kill();
}

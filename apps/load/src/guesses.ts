import { createAccounts, emailOf } from './accounts.ts';
import type { Line, Progress } from './parts.ts';
import { median } from './statistics.ts';
import { startSubject } from './subject.ts';

const TRIES = 200;

/** Whether there is an account must not show in how long a wrong password takes. */
export async function guesses(progress: Progress, quick: boolean): Promise<Line[]> {
  await using subject = await startSubject('duet');
  await createAccounts('duet', subject.url, 1);
  const headers = { 'content-type': 'application/json' };
  async function guess(email: string): Promise<number> {
    const body = JSON.stringify({ email, password: 'not the password' });
    const start = performance.now();
    await (await fetch(`${subject.url}/api/auth/login`, { method: 'POST', headers, body })).arrayBuffer();
    return performance.now() - start;
  }
  const known: number[] = [];
  const unknown: number[] = [];
  // In turn, so that a machine that slows down slows both.
  for (let i = 0; i < (quick ? TRIES / 4 : TRIES); i++) {
    known.push(await guess(emailOf(0)));
    unknown.push(await guess(`nobody${i}@example.org`));
  }
  const [one, other] = [median(known), median(unknown)];
  progress(`guesses: ${known.length} of each`);
  const ratio = `${(other / one).toFixed(2)}x`;
  return [
    [
      'wrong password: known, then unknown user',
      `${one.toFixed(2)} ms`,
      `${other.toFixed(2)} ms`,
      ratio,
      '0.9x to 1.1x',
    ],
  ];
}

import { startClients } from './clients.ts';
import { startMemory } from './databases.ts';
import { startNodes } from './nodes.ts';
import type { Part, Settings } from './part.ts';
import { seedContacts } from './seed.ts';

const CONTACTS = 20;
const NODES = 2;
const MOST_MOVERS = 40;
/** Contacts alone; and what a node spends by default on telling everybody. */
const BUDGETS = [0, 2_000];

interface Counted {
  part: 'presence';
  users: number;
  budget: number;
  changes: number;
  frames: number;
}

/** Some go, and come back after their grace: what does all that cost the others? */
async function count(users: number, budget: number, mongoUrl: string): Promise<Counted> {
  const settings = { PRESENCE_BROADCAST_BUDGET: String(budget) };
  await using nodes = await startNodes({ joined: 'duet', count: NODES, mongoUrl, settings });
  const accounts = await nodes.accounts(users);
  await seedContacts(
    nodes.mongoUrl,
    accounts.map(({ id }) => id),
    CONTACTS,
  );
  // So far apart that none is another's contact.
  const apart = Math.max(CONTACTS + 5, Math.floor(users / MOST_MOVERS));
  const movers = accounts.map((_, i) => i).filter((i) => i % apart === 0);
  using clients = startClients({ what: 'presence', accounts, movers });
  await clients.step();
  let frames = 0;
  for (const _ of ['go', 'come back']) {
    clients.go();
    frames += (await clients.step()).frames;
  }
  return { part: 'presence', users, budget, changes: 2 * movers.length, frames };
}

/** Frames for each change of somebody's status, with more and more people connected. */
export async function presence({ quick, progress }: Settings): Promise<Part> {
  await using database = await startMemory();
  const sizes = quick ? [100, 1_000] : [100, 1_000, 10_000];
  const records: Counted[] = [];
  for (const users of sizes) {
    for (const budget of BUDGETS) {
      const counted = await count(users, budget, database.url);
      progress(`${users} users, budget ${budget}: ${counted.frames} frames for ${counted.changes} changes`);
      records.push(counted);
    }
  }
  const rows = sizes.map((users) => [
    String(users),
    ...BUDGETS.map((budget) => {
      const { frames, changes } = records.find((one) => one.users === users && one.budget === budget) as Counted;
      return (frames / changes).toFixed(1);
    }),
  ]);
  return {
    title: `Frames for each change of status, ${CONTACTS} contacts each, ${NODES} nodes, everybody connected`,
    rows: [['users', ...BUDGETS.map((budget) => `budget ${budget}`)], ...rows],
    records,
  };
}

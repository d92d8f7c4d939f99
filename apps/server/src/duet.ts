// `npm run duet -- COMMAND`: what operators do beside running nodes.
import { existsSync } from 'node:fs';
import { dirname } from 'node:path';
import { text } from 'node:stream/consumers';
import { parseArgs } from 'node:util';
import { rotateKeys } from '@duet/sealing';
import { loadBackups } from './adapters.ts';
import { adminCommands, findAdminCommand } from './admin/commands.ts';
import { openStore, withStore } from './admin/open.ts';
import { replaceKeyRing } from './admin/replace-key-ring.ts';
import { wordsOf } from './admin/text.ts';
import { type Config, ConfigError, readConfig } from './config.ts';

const adminHelp = Object.entries(adminCommands)
  .map(([name, { args, does }]) => `  ${`${name} ${args}`.trim()}\n      ${does}`)
  .join('\n');

const HELP = `npm run duet -- COMMAND [--json]

  backup FILE     copies the embedded database while servers run
  restore FILE    puts such a copy in its place, while servers run or not; what was written since is gone. Who is signed
                  in, or was signed out, stays so; passwords, and who is disabled or deleted, are those of the copy
  rotate-keys     wraps the keys of all conversations by the first key of the key ring, while servers run; then the
                  other keys of the ring may go, unless it names some that must stay
  replace-key-ring FILE
                  puts the key ring that comes by standard input in the place of FILE, which has to be there and of which
                  a copy stays; one that lacks a key of FILE with --yes alone. It reads no environment
  check-config    says what is wrong with the environment, and makes nothing

${adminHelp}

It reads the environment variables of the servers, and works beside them: DATA_DIR names the folder of the database
(./data), or MONGODB_URI and REDIS_URL where everything is. --json prints for machines.
Exit codes: 0, done. 1, it could not be done; the reason is printed. 2, done, but what it looked at is not in order.`;

/** The embedded database. @throws Error when messages are elsewhere */
function embedded({ store }: Config): string {
  if (store.kind === 'sqlite') return store.file;
  throw new Error('Messages are in MongoDB: use mongodump and mongorestore');
}

function showProgress(done: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r${done}`);
}
const showPart = (part: number) => showProgress(`${Math.round(part * 100)} %`);

interface Given {
  /** Reads the environment: not every command has one. @throws ConfigError */
  config: () => Config;
  file: string;
  yes: boolean;
}
/** `wrong`: it was done, and something is not in order. */
type Command = (given: Given) => Promise<{ said: string; wrong?: boolean }>;

/** @throws Error that names the keys which `whose`, in this database file, need and the ring lacks */
async function requireKeysOf(file: string, { encryption: { ring } }: Config, whose: string): Promise<void> {
  const { ringKeysOf } = await loadBackups();
  const missing = ringKeysOf(file).filter((name) => !ring.get(name));
  if (missing.length > 0) throw new Error(`The key ring lacks ${missing.join(', ')}: ${whose} need it`);
}

const commands: Record<string, { needsFile: boolean; run: Command }> = {
  backup: {
    needsFile: true,
    async run({ config, file }) {
      const database = embedded(config());
      const { backUp } = await loadBackups();
      await backUp(database, file, showPart);
      const said = `The database is in ${file}. Keep the key ring elsewhere: without it nobody can read the messages in it`;
      return { said };
    },
  },
  restore: {
    needsFile: true,
    async run({ config: read, file }) {
      const config = read();
      const { restore } = await loadBackups();
      await requireKeysOf(file, config, `messages in ${file}`);
      const { unknown } = await restore(file, embedded(config), showPart);
      const accounts =
        'Passwords, blocks, and who is disabled or deleted, are those of the backup; sessions are those of now';
      const rest = unknown > 0 ? `, or of the backup where the database did not know the user (${unknown})` : '';
      return { said: `${embedded(config)} is what ${file} was. ${accounts}${rest}` };
    },
  },
  'rotate-keys': {
    needsFile: false,
    async run({ config: read }) {
      const config = read();
      const { ring } = config.encryption;
      const { rewrapped, damaged, needed } = await withStore(await openStore(config), ({ dataKeys }) =>
        rotateKeys(dataKeys, ring, (count) => showProgress(`${count} keys`)),
      );
      const where = config.store.kind === 'sqlite' ? config.store.file : 'MongoDB';
      const rest = damaged > 0 ? `; ${damaged} are damaged and stay as they were` : '';
      const stay = needed.length > 0 ? `. Keep in the ring, nodes do not start without: ${needed.join(', ')}` : '';
      return {
        said: `${rewrapped} keys in ${where} were wrapped anew, by ${ring.current?.name}${rest}${stay}`,
        wrong: needed.length > 0,
      };
    },
  },
  'replace-key-ring': {
    needsFile: true,
    // Without a configuration: it runs where no server does.
    run: async ({ file, yes }) => ({ said: replaceKeyRing(file, await text(process.stdin), { yes }) }),
  },
  'check-config': {
    needsFile: false,
    async run({ config: read }) {
      const config = read();
      const said = 'The configuration is valid.';
      if (config.store.kind === 'mongo') return { said };
      const { file } = config.store;
      await requireKeysOf(file, config, 'stored messages');
      return { said: existsSync(file) ? said : `${said} ${dirname(file)} holds no database yet: a start makes it` };
    },
  },
};

const WRONG = 2;
const LIMIT = 100;

/** @throws Error in plain words */
function limitOf(text = String(LIMIT)): number {
  if (/^[1-9]\d{0,8}$/.test(text)) return Number(text);
  throw new Error('--limit must be a number from 1 on');
}

/** @returns the exit code */
async function run(words: string[], { json = false, ...values }: Values): Promise<number> {
  const [name = '', file = ''] = words;
  const admin = findAdminCommand(words);
  const command = Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (values.help || !(admin || command) || (command?.needsFile && file === '')) {
    console.log(HELP);
    return values.help ? 0 : 1;
  }
  // Whoever mistypes DATA_DIR gets nothing there.
  const config = () => readConfig(process.env, { makes: false });
  const yes = values.yes ?? false;
  if (command) {
    const { said, wrong } = await command.run({ config, file, yes });
    console.log(json ? JSON.stringify({ said }) : said);
    return wrong ? WRONG : 0;
  }
  const outcome = await admin?.command.run(config(), admin.args, {
    limit: limitOf(values.limit),
    yes,
    withMessages: values['with-messages'] ?? false,
  });
  if (outcome) console.log(json ? JSON.stringify(outcome.json) : outcome.text);
  return outcome?.wrong ? WRONG : 0;
}

const options = {
  help: { type: 'boolean' },
  json: { type: 'boolean' },
  limit: { type: 'string' },
  yes: { type: 'boolean' },
  'with-messages': { type: 'boolean' },
} as const;
type Values = { [K in keyof typeof options]?: (typeof options)[K]['type'] extends 'boolean' ? boolean : string };

// The database, its log and backups are for this user alone.
process.umask(0o077);

try {
  const { positionals, values } = parseArgs({ allowPositionals: true, options });
  process.exitCode = await run(positionals, values);
} catch (error) {
  const what = error instanceof ConfigError ? 'The configuration is not valid:\n' : '';
  console.error(what + wordsOf(error));
  process.exitCode = 1;
}

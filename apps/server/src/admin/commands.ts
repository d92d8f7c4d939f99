import { createWriteStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import type { Finding } from '@duet/core';
import { accountCommands } from './account-commands.ts';
import { type AdminCommand, on } from './command.ts';
import { statusOf, statusText } from './status.ts';
import { fields, table } from './text.ts';

const whereOf = (finding: Finding): string =>
  'row' in finding
    ? `user ${finding.row.user}, conversation ${finding.row.conversation}`
    : `conversation ${finding.conversation}`;

function inboxText(result: { conversations: number; rows: number; findings: Finding[]; repaired?: number }): string {
  const { conversations, rows, findings, repaired } = result;
  const found = findings.map((finding) => `${finding.what}: ${whereOf(finding)}`);
  const sum = `${conversations} conversations, ${rows} rows: ${findings.length} wrong`;
  return [...found, repaired === undefined ? sum : `${sum}, ${repaired} repaired`].join('\n');
}

const HEAD = ['id', 'username', 'email', 'state', 'lastSeen'] as const;

export const adminCommands: Record<string, AdminCommand> = {
  status: {
    args: '',
    does: 'what of the cluster answers: nodes with their sockets, Redis, the store and how much is in it',
    async run(config) {
      const status = await statusOf(config);
      return { json: status, text: statusText(status), wrong: !status.ok };
    },
  },
  'users list': {
    args: '[PREFIX]',
    does: 'by name, at most --limit (100)',
    run: on(async ({ users }, [prefix = ''], { limit }) => {
      const found = await users.list({ prefix, limit });
      return { json: found, text: table(HEAD, found) };
    }),
  },
  'users show': {
    args: 'USER',
    does: 'USER is an id, an email or a name',
    run: on(async ({ users }, [who = '']) => {
      const shown = await users.show(who);
      return { json: shown, text: fields(shown) };
    }),
  },
  'users export': {
    args: 'USER [FILE]',
    does: 'profile, sessions, conversations and messages as JSON',
    run: on(async ({ users }, [who = '', file]) => {
      await users.show(who);
      // A new file for its owner alone; to standard output, nothing else may stand there.
      const to = file === undefined ? process.stdout : createWriteStream(file, { flags: 'wx', mode: 0o600 });
      await pipeline(users.export(who), to, { end: file !== undefined });
      return file === undefined ? undefined : { json: { file }, text: `${who} is in ${file}` };
    }),
  },
  ...accountCommands,
  'conversations stats': {
    args: '',
    does: 'how many, how long, how many of them live; reads every log once',
    run: on(async ({ inbox }) => {
      const { largest, mean, ...rest } = await inbox.statistics();
      const lines = largest.map(({ messages, users }) => `${messages}  ${users.join(' and ')}`);
      const text = `${fields({ ...rest, mean: mean.toFixed(1) })}\nlargest\n${lines.join('\n')}`;
      return { json: { ...rest, mean, largest }, text };
    }),
  },
  'inbox check': {
    args: '',
    does: 'compares every row with its log; ends with 2 when something is wrong',
    run: on(async ({ inbox }) => {
      const result = await inbox.check();
      return { json: result, text: inboxText(result), wrong: result.findings.length > 0 };
    }),
  },
  'inbox repair': {
    args: '',
    does: 'and makes the rows what the logs say; ends with 2 when a log itself is damaged',
    run: on(async ({ inbox }) => {
      const result = await inbox.repair();
      return { json: result, text: inboxText(result), wrong: result.findings.length > result.repaired };
    }),
  },
};

/** The command that these words begin with, and its arguments; undefined: there is none, or they are too few or many. */
export function findAdminCommand(words: string[]): { command: AdminCommand; args: string[] } | undefined {
  for (const length of [2, 1]) {
    const name = words.slice(0, length).join(' ');
    const command = Object.hasOwn(adminCommands, name) ? adminCommands[name] : undefined;
    if (!command) continue;
    const args = words.slice(length);
    const wanted = command.args.split(' ').filter((word) => /^\[?[A-Z]/.test(word));
    const needed = wanted.filter((word) => !word.startsWith('['));
    return args.length >= needed.length && args.length <= wanted.length ? { command, args } : undefined;
  }
  return undefined;
}

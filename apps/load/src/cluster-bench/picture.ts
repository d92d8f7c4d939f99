// Draws docs/routing.svg from the lines that `npm run bench:cluster -- --only routing --json` prints:
//   npm run --silent bench:cluster -- --only routing --json | node apps/load/src/cluster-bench/picture.ts >docs/routing.svg
import { createInterface } from 'node:readline';

interface Line {
  part: string;
  joined: 'duet' | 'classic';
  nodes: number;
  messages: number;
  received: number[];
}

const WIDTH = 640;
const HEIGHT = 320;
const LEFT = 60;
const BOTTOM = 270;
const TOP = 54;
const BAR = 44;
const COLOURS = { classic: '#adb5bd', duet: '#4c6ef5' };
const NAMES = { classic: 'classic Redis adapter', duet: 'Duet' };

const mean = (values: number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;

const lines: Line[] = [];
for await (const text of createInterface({ input: process.stdin })) {
  if (text.startsWith('{')) lines.push(JSON.parse(text));
}
const measured = lines.filter(({ part }) => part === 'routing');
const counts = [...new Set(measured.map(({ nodes }) => nodes))].sort((a, b) => a - b);
const step = (WIDTH - LEFT) / counts.length;
const share = ({ received, messages }: Line): number => mean(received) / messages;

function bar(line: Line): string {
  const first = LEFT + counts.indexOf(line.nodes) * step + step / 2 - BAR - 2;
  const x = line.joined === 'classic' ? first : first + BAR + 4;
  const height = share(line) * (BOTTOM - TOP);
  const label = share(line).toFixed(share(line) < 1 ? 2 : 0);
  return `<rect x="${x}" y="${BOTTOM - height}" width="${BAR}" height="${height}" rx="3" fill="${COLOURS[line.joined]}"/>
<text x="${x + BAR / 2}" y="${BOTTOM - height - 6}" text-anchor="middle">${label}</text>`;
}

const legend = (['classic', 'duet'] as const).map(
  (
    joined,
    i,
  ) => `<rect x="${LEFT + i * 190}" y="${HEIGHT - 18}" width="12" height="12" rx="2" fill="${COLOURS[joined]}"/>
<text x="${LEFT + 18 + i * 190}" y="${HEIGHT - 8}">${NAMES[joined]}</text>`,
);

// Readable on light and dark pages: a grey of the middle for all words.
console.log(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="system-ui, sans-serif" font-size="13" fill="#868e96">
<title>What each node receives from Redis for each message of the whole cluster</title>
<text x="8" y="16">received by each node for each message of the cluster</text>
<line x1="${LEFT}" y1="${BOTTOM}" x2="${WIDTH}" y2="${BOTTOM}" stroke="#868e96"/>
${measured.map(bar).join('\n')}
${counts.map((count, i) => `<text x="${LEFT + i * step + step / 2}" y="${BOTTOM + 18}" text-anchor="middle">${count} node${count === 1 ? '' : 's'}</text>`).join('\n')}
${legend.join('\n')}
</svg>`);

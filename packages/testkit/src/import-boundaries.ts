import { readdirSync, readFileSync } from 'node:fs';
import { isBuiltin } from 'node:module';
import { join, relative } from 'node:path';

/** What the code below a folder may import. Relative imports are free, but must stay inside the package. */
export interface Boundary {
  /** Folder of the package, relative to the root. */
  folder: string;
  /** Packages that its sources may import; `@duet/x` allows no subpath unless named. */
  mayImport: string[];
  /** And of which it may know the types alone. */
  mayImportTypes?: string[];
  /** Files that may import more: path relative to the package -> packages. */
  exceptions?: Record<string, string[]>;
  /** `node:` modules: all, none, or these. */
  builtins: 'all' | 'none' | string[];
  /** Words that must not stand in its sources. */
  never?: RegExp;
}

const IMPORT =
  /(?:import|export)\s(type\s)?[^'"`;]*?from\s*['"]([^'"]+)['"]|import\s*\(\s*['"]([^'"]+)['"]\s*\)|^import\s*['"]([^'"]+)['"]/gm;

/** The TypeScript files below a folder, tests left out. */
export function sources(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && /\.tsx?$/.test(entry.name) && !/\.test\.tsx?$/.test(entry.name))
    .map((entry) => join(entry.parentPath, entry.name));
}

/**
 * Compares imports and package.json of each package with what it may use.
 * @returns a line for each violation
 */
export function violations(root: string, boundaries: Boundary[]): string[] {
  return boundaries.flatMap((boundary) => {
    const base = join(root, boundary.folder);
    const manifest = JSON.parse(readFileSync(join(base, 'package.json'), 'utf8')) as {
      dependencies?: Record<string, string>;
    };
    const declared = Object.keys(manifest.dependencies ?? {});
    const { mayImport, mayImportTypes = [], exceptions = {} } = boundary;
    const allowed = new Set([...mayImport, ...mayImportTypes, ...Object.values(exceptions).flat()].map(packageOf));
    const undeclared = declared
      .filter((name) => !allowed.has(name))
      .map((name) => `${boundary.folder}/package.json depends on ${name}`);
    return [...undeclared, ...sources(join(base, 'src')).flatMap((file) => inFile(base, file, boundary))];
  });
}

function packageOf(specifier: string): string {
  const parts = specifier.split('/');
  return specifier.startsWith('@') ? parts.slice(0, 2).join('/') : (parts[0] as string);
}

function inFile(base: string, file: string, boundary: Boundary): string[] {
  const text = readFileSync(file, 'utf8');
  const name = relative(base, file);
  const found: string[] = [];
  const say = (what: string) => found.push(`${boundary.folder}/${name} ${what}`);
  for (const [, type, from, dynamic, bare] of text.matchAll(IMPORT)) {
    const specifier = (from ?? dynamic ?? bare) as string;
    if (type && boundary.mayImportTypes?.includes(specifier)) continue;
    if (!allows(boundary, { name, base, file, specifier })) say(`imports ${specifier}`);
  }
  const word = boundary.never?.exec(text)?.[0];
  if (word !== undefined) say(`says ${word}`);
  return found;
}

function allows(boundary: Boundary, at: { name: string; base: string; file: string; specifier: string }): boolean {
  const { specifier } = at;
  if (specifier.startsWith('.')) return !relative(at.base, join(at.file, '..', specifier)).startsWith('..');
  if (isBuiltin(specifier)) return boundary.builtins === 'all' || boundary.builtins.includes(specifier);
  const extra = boundary.exceptions?.[at.name] ?? [];
  return [...boundary.mayImport, ...extra].includes(specifier);
}

// The documents of memory-mongo.ts: found by `_id` or by the first field of an index, kept unique, never removed.

export type Document = Record<string, unknown>;
/** Documents of one collection, by `_id`, by each unique index, and by the first field of each index. */
interface Collection {
  unique: string[][];
  taken: Set<string>;
  lists: Map<string, Document[]>;
  byId: Map<unknown, Document>;
}

const collections = new Map<string, Collection>();
function collectionOf(db: unknown, name: unknown): Collection {
  const key = `${db}.${name}`;
  const found = collections.get(key) ?? { unique: [], taken: new Set(), lists: new Map(), byId: new Map() };
  collections.set(key, found);
  return found;
}

const keyOf = (fields: string[], document: Document) =>
  `${fields.join()}=${fields.map((field) => document[field]).join('\n')}`;
/** What a list of documents is kept for: the first field of any index. */
const LISTED = ['conversation', 'user', 'row'];
const listOf = (field: string, value: unknown) => `${field}=${value}`;

function insert(collection: Collection, document: Document): boolean {
  const keys = collection.unique.map((fields) => keyOf(fields, document));
  if (collection.byId.has(document._id) || keys.some((key) => collection.taken.has(key))) return false;
  for (const key of keys) collection.taken.add(key);
  collection.byId.set(document._id, document);
  for (const field of LISTED) {
    if (!(field in document)) continue;
    const list = collection.lists.get(listOf(field, document[field]));
    if (list) list.push(document);
    else collection.lists.set(listOf(field, document[field]), [document]);
  }
  return true;
}

function insertAll(collection: Collection, documents: Document[], ordered: boolean) {
  const writeErrors: Document[] = [];
  for (const [index, document] of documents.entries()) {
    if (insert(collection, document)) continue;
    writeErrors.push({ index, code: 11_000, errmsg: 'E11000 duplicate key error' });
    if (ordered) break;
  }
  return { ok: 1, n: documents.length - writeErrors.length, ...(writeErrors.length > 0 ? { writeErrors } : {}) };
}

function compare(a: unknown, b: unknown): number {
  return (a as number) < (b as number) ? -1 : (a as number) > (b as number) ? 1 : 0;
}
const operators: Record<string, (value: unknown, operand: unknown) => boolean> = {
  $lt: (value, operand) => compare(value, operand) < 0,
  $lte: (value, operand) => compare(value, operand) <= 0,
  $gt: (value, operand) => compare(value, operand) > 0,
  $gte: (value, operand) => compare(value, operand) >= 0,
  $ne: (value, operand) => value !== operand,
  $in: (value, operand) => (operand as unknown[]).includes(value),
};

function matches(document: Document, filter: Document): boolean {
  return Object.entries(filter).every(([field, wanted]) => {
    if (field === '$nor') return !(wanted as Document[]).some((part) => matches(document, part));
    if (field === '$or') return (wanted as Document[]).some((part) => matches(document, part));
    if (typeof wanted !== 'object' || wanted === null) return document[field] === wanted;
    return Object.entries(wanted).every(([name, operand]) => operators[name]?.(document[field], operand) ?? false);
  });
}

/** The newest documents of a list, back to the first that does not match. */
function newest(collection: Collection, filter: Document): Document[] {
  const list = collection.lists.get(listOf('conversation', filter.conversation)) ?? [];
  const last = list.findLastIndex((document) => !matches(document, filter));
  return list.slice(last + 1);
}

function find(collection: Collection, query: Document): Document[] {
  const filter = (query.filter ?? {}) as Document;
  const sort = Object.entries((query.sort ?? {}) as Record<string, number>);
  const limit = (query.limit as number) || Number.POSITIVE_INFINITY;
  const skip = (query.skip as number) ?? 0;
  if (typeof filter._id === 'string') {
    const document = collection.byId.get(filter._id);
    return document && matches(document, filter) ? [document] : [];
  }
  const asked = Object.entries(filter).find(([field]) => field === '_id' || LISTED.includes(field));
  if (asked && Array.isArray((asked[1] as Document).$in)) {
    const [field, { $in }] = asked as [string, { $in: string[] }];
    return $in.flatMap((value) => find(collection, { filter: { ...filter, [field]: value } }));
  }
  if (Array.isArray(filter.$or)) {
    return filter.$or.flatMap((part) => newest(collection, part)).slice(0, limit);
  }
  const field = LISTED.find((name) => typeof filter[name] === 'string');
  const candidates = field ? (collection.lists.get(listOf(field, filter[field])) ?? []) : [...collection.byId.values()];
  // Entries and steps are appended in their order: the newest is the last.
  if (limit === 1 && sort[0]?.[1] === -1) {
    const newest = candidates.findLast((document) => matches(document, filter));
    return newest ? [newest] : [];
  }
  if (limit === 1 && sort.length === 0) {
    const first = candidates.find((document) => matches(document, filter));
    return first ? [first] : [];
  }
  const found = candidates.filter((document) => matches(document, filter));
  found.sort((a, b) => {
    for (const [name, direction] of sort) {
      const order = compare(a[name], b[name]) * direction;
      if (order !== 0) return order;
    }
    return 0;
  });
  return found.slice(skip, skip + limit);
}

function update(collection: Collection, updates: Document[]) {
  const upserted: Document[] = [];
  for (const [index, { q, u, upsert }] of updates.entries()) {
    const filter = q as Document;
    const { $max, $setOnInsert } = u as Record<string, Document>;
    let [document] = find(collection, { filter });
    if (!document && upsert) {
      document = { ...filter, ...$setOnInsert };
      insert(collection, document);
      upserted.push({ index, _id: document._id });
    }
    for (const [field, value] of Object.entries($max ?? {})) {
      if (document && compare(document[field] ?? 0, value) < 0) document[field] = value;
    }
  }
  return {
    ok: 1,
    n: updates.length,
    nModified: updates.length - upserted.length,
    ...(upserted[0] ? { upserted } : {}),
  };
}

const LIMITS = { maxBsonObjectSize: 16_777_216, maxMessageSizeBytes: 48_000_000, maxWriteBatchSize: 100_000 };
const HELLO = {
  ...LIMITS,
  ismaster: true,
  isWritablePrimary: true,
  helloOk: true,
  minWireVersion: 0,
  maxWireVersion: 25,
};

/** What a server answers to a command, as far as the product asks. */
export function answer(command: Document): Document {
  const [name, target] = Object.entries(command)[0] as [string, unknown];
  const collection = collectionOf(command.$db, target);
  switch (name) {
    case 'insert':
      return insertAll(collection, command.documents as Document[], command.ordered !== false);
    case 'update':
      return update(collection, command.updates as Document[]);
    case 'find':
      return { ok: 1, cursor: { id: 0n, ns: `${command.$db}.${target}`, firstBatch: find(collection, command) } };
    case 'createIndexes':
      for (const { key, unique } of command.indexes as Document[]) {
        if (unique) collection.unique.push(Object.keys(key as object));
      }
      return { ok: 1 };
    case 'hello':
    case 'isMaster':
    case 'ismaster':
      return { ok: 1, ...HELLO, localTime: new Date() };
    default:
      return { ok: 1, n: 0 };
  }
}

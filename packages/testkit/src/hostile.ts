/** What a hostile or broken client sends where an object is expected. Functions, because some cannot be kept as JSON. */
export const hostilePayloads: Record<string, unknown> = {
  nothing: undefined,
  null: null,
  true: true,
  number: 7,
  'not a number': Number.NaN,
  text: 'text',
  'empty list': [],
  list: [1, 2, 3],
  'empty object': {},
  'operators for text': {
    typing: { $ne: null },
    receiverId: { $ne: null },
    content: { $gt: '' },
    email: { $ne: null },
    password: { $regex: '.*' },
    conversations: { $ne: null },
    cursor: { $gt: '' },
    receipts: { $ne: null },
  },
  'lists for text': {
    typing: [true],
    receiverId: ['a'],
    content: ['a'],
    messageId: [],
    senderId: [],
    email: ['a@b.c'],
    password: [],
    conversations: ['a'],
    cursor: ['a'],
  },
  'numbers for text': {
    typing: 1,
    receiverId: 1,
    content: 2,
    messageId: 3,
    senderId: 4,
    tempId: 5,
    email: 6,
    password: 7,
    username: 8,
    cursor: 9,
    receipts: 10,
  },
  'object with toString': {
    typing: { toString: 'x' },
    receiverId: { toString: 'x' },
    content: { toString: 'x' },
    cursor: { toString: 'x' },
  },
  'prototype pollution': JSON.parse('{"__proto__":{"polluted":true},"constructor":{"prototype":{"polluted":true}}}'),
  'very deep': deep(5_000),
  'very wide': Object.fromEntries(Array.from({ length: 2_000 }, (_, i) => [`key${i}`, i])),
  'very long': {
    typing: 'x'.repeat(10_000),
    receiverId: 'a'.repeat(10_000),
    content: 'x'.repeat(20_000),
    messageId: 'b'.repeat(10_000),
    cursor: 'c'.repeat(10_000),
  },
  'ids of the wrong form': {
    typing: 'yes',
    receiverId: 'Z'.repeat(24),
    messageId: '../../etc',
    senderId: '0'.repeat(23),
    cursor: '../../etc',
  },
  'NUL and lone surrogates': {
    typing: '\0',
    receiverId: '\0'.repeat(24),
    content: 'a\0b',
    tempId: '\ud800',
    username: '\udfff\ud800',
    cursor: '\0\ud800',
  },
};

/** Those of them that name no field of any request: to one that requires none they are an empty request, and harmless. */
export const emptyPayloads = ['empty object', 'prototype pollution', 'very deep', 'very wide'];

function deep(levels: number): unknown {
  let value: unknown = 'bottom';
  for (let i = 0; i < levels; i++) value = { value };
  return value;
}

/** Texts that must come back exactly as they were sent, and that no page may run. */
export const awkwardTexts: string[] = [
  '<img src=x onerror="window.hacked=1">',
  '<script>window.hacked=1</script>',
  'javascript:alert(1)',
  '{{7*7}} <%= 7*7 %> %s %00',
  '👩‍👩‍👧‍👦🏳️‍🌈',
  `Z${'̷͓'.repeat(200)}algo`,
  '‮desrever‬ ⁦isolated⁩',
  ' leading and trailing \n\t lines ',
  '"; DROP TABLE messages; --',
  '$where: {"$gt": ""}',
  '𝕏'.repeat(4_000),
];

// Writes the documents that are made from the contract's tables: `npm run docs`.
import { writeFileSync } from 'node:fs';
import { asyncApiDocument, openApiDocument } from '@duet/contract';

const documents = { 'openapi.json': openApiDocument(), 'asyncapi.json': asyncApiDocument() };
for (const [name, document] of Object.entries(documents)) {
  writeFileSync(new URL(name, import.meta.url), `${JSON.stringify(document, null, 2)}\n`);
}

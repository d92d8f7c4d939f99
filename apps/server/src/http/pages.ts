import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type { ServerResponse } from 'node:http';
import type { RequestHandler, Response } from 'express';
import helmet from 'helmet';

/** Stands in the pages where the nonce of an answer belongs. */
const PLACEHOLDER = '{{nonce}}';
const NONCE_BYTES = 16;

/** Data and files, whatever a browser takes them for: a file that somebody opens as a page may do nothing. */
export const NOTHING = {
  defaultSrc: ["'none'"],
  baseUri: ["'none'"],
  formAction: ["'none'"],
  frameAncestors: ["'none'"],
};

const nonce = (_req: unknown, res: ServerResponse): string => `'nonce-${(res as Response).locals.nonce}'`;

/** What a page itself names runs and is applied, and nothing else: no inline script, no style attribute. */
const PAGE = {
  ...NOTHING,
  scriptSrc: [nonce],
  styleSrc: [nonce],
  imgSrc: ["'self'"],
  // CSP 3 counts the websocket of the page's own address as well, which Chrome 71, Firefox and Safari 16 do.
  connectSrc: ["'self'"],
};

/** The clients. Strings become markup or the address of a script only by a rule that each of them makes. */
export const CLIENT = { ...PAGE, requireTrustedTypesFor: ["'script'"], trustedTypes: ['default', 'library'] };

/** The REST reference, whose code makes markup of strings, and whose styles hold pictures. */
export const REFERENCE = { ...PAGE, imgSrc: ["'self'", 'data:'] };

/**
 * Answers with a page of HTML in which each answer has a nonce of its own.
 * @param read gives the HTML of a request, undefined when there is none
 */
export function createPage(
  read: (path: string) => Promise<string | undefined>,
  directives: typeof CLIENT | typeof REFERENCE,
): RequestHandler {
  const policy = helmet.contentSecurityPolicy({ useDefaults: false, directives });
  return async (req, res, next) => {
    const html = await read(req.path);
    if (html === undefined) return next();
    res.locals.nonce = randomBytes(NONCE_BYTES).toString('base64');
    policy(req, res, (error) => {
      if (error) return next(error);
      // Kept by nobody: a "not modified" would bring a new nonce for an old page. So no ETag either.
      res.type('html').set('Cache-Control', 'no-store').end(html.replaceAll(PLACEHOLDER, res.locals.nonce));
    });
  };
}

/** The pages that lie in a folder, asked for by their path. */
export function pagesOf(folder: string): (path: string) => Promise<string | undefined> {
  return async (path) => {
    const [, name] = /^\/([\w-]+\.html)?$/.exec(path) ?? [path, 'index.html'];
    return readFile(`${folder}/${name ?? 'index.html'}`, 'utf8').catch(() => undefined);
  };
}

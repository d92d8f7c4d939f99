import { extname } from 'node:path';
import express, { type RequestHandler } from 'express';

type Options = NonNullable<Parameters<typeof express.static>[1]>;

/** What apps/web/build.ts leaves beside a file, the shortest first. */
const CODINGS = [
  ['br', '.br'],
  ['gzip', '.gz'],
] as const;

/**
 * Serves the files of a folder, compressed for those who take that, as they lie beside them: compressing at a request
 * would cost whoever asks nothing, and the node a hundred times as much. Always the whole file, so that no range is of
 * another coding than the bytes before it.
 */
export function createFiles(folder: string, options: Options): RequestHandler[] {
  const whole = { ...options, index: false, redirect: false, acceptRanges: false } as const;
  const compressed = CODINGS.map(([coding, ending]): RequestHandler => {
    const serve = express.static(folder, {
      ...whole,
      // Many files are too short to be there compressed.
      fallthrough: true,
      setHeaders: (res, path) => void res.set('Content-Encoding', coding).type(extname(path.slice(0, -ending.length))),
    });
    return (req, res, next) => {
      if (!req.acceptsEncodings(coding)) return next();
      const { url } = req;
      req.url = req.path + ending;
      serve(req, res, (error) => {
        req.url = url;
        next(error);
      });
    };
  });
  const vary: RequestHandler = (_req, res, next) => {
    res.vary('Accept-Encoding');
    next();
  };
  return [vary, ...compressed, express.static(folder, whole)];
}

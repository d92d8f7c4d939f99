/** Nothing of a list that is parted by something else than commas, and no wildcard, which browsers do not know. */
const HOST = /^([\w.-]+|\[[\da-f:]+\])$/i;
const LOCAL_HOST = /^(localhost|127\.0\.0\.1|\[::1\])$/;

/**
 * An origin as browsers send it: in small letters, without the port that its scheme implies, without a path. Apps in a
 * webview have schemes of their own, and pages of files are `null`. `*`, which stands for all, is left as it is.
 * @returns undefined when this names none
 */
export function originOf(text: string): string | undefined {
  if (text === 'null' || text === '*') return text;
  const url = URL.parse(text);
  if (!url || !HOST.test(url.hostname)) return undefined;
  const origin = `${url.protocol}//${url.host}`;
  return url.href === origin || url.href === `${origin}/` ? origin : undefined;
}

/**
 * Which web pages may call: pages of this server itself, those of `allowed` (`*`: all), and in development also pages of
 * this machine and files. CORS does not guard WebSockets, so the same rule is asked for both.
 * @returns whether a page of `origin` may call a server that is addressed as `host`; without origin it is no web page
 */
export function createOriginRule(options: { allowed: string[] | undefined; development: boolean }) {
  const allowed = new Set(options.allowed);
  return (origin: string | undefined, host: string | undefined): boolean => {
    if (origin === undefined || allowed.has(origin) || allowed.has('*')) return true;
    const url = URL.parse(origin);
    if (url && url.host === host) return true;
    return (
      options.development &&
      options.allowed === undefined &&
      (origin === 'null' || LOCAL_HOST.test(url?.hostname ?? ''))
    );
  };
}
export type OriginRule = ReturnType<typeof createOriginRule>;

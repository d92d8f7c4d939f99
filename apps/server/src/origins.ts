const LOCAL_HOST = /^(localhost|127\.0\.0\.1|\[::1\])$/;

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

import { useEffect, useState } from 'react';

const today = (): string => new Date().toDateString();

function untilTomorrow(): number {
  const now = new Date();
  // A second late: a timer may be a little early.
  return new Date(now.getFullYear(), now.getMonth(), now.getDate() + 1, 0, 0, 1).getTime() - now.getTime();
}

/** Renders again when a new day begins: then what is said of days, by whatever stands below, is old. */
export function useNewDay(): void {
  const [day, setDay] = useState(today);
  useEffect(() => {
    const look = () => setDay(today());
    const timer = setTimeout(look, untilTomorrow());
    // While a device sleeps, its timers may as well.
    document.addEventListener('visibilitychange', look);
    return () => {
      clearTimeout(timer);
      document.removeEventListener('visibilitychange', look);
    };
  }, [day]);
}

import type { ChatMessage } from '@duet/client';
import { type RefObject, useCallback, useEffect, useLayoutEffect, useRef, useState } from 'react';

/** Nearer to the end than this, the last message is in view, and new ones pull the list along. */
const NEAR_END = 60;
const NEAR_START = 200;
/** Where more than this many are unread, the list opens at one of them. */
const MAX_OPENED = 400;

interface PlaceDeps {
  messages: readonly ChatMessage[];
  /** The newest page is there. */
  isComplete: boolean;
  /** The first that is loaded of those that the divider announces; older ones may come. */
  firstNew: string | undefined;
  /** What stands above it. */
  divider: RefObject<HTMLElement | null>;
  /** The place in `messages` of the first that is unread; -1 where none is. */
  firstUnread: number;
  /** There is more that is unread than fits: the divider has to stand above it. */
  onMoreThanFits: () => void;
  /** What the user has written here last. */
  written: string | undefined;
}

const topIn = (list: Element, part: Element): number =>
  part.getBoundingClientRect().top - list.getBoundingClientRect().top;

/** The first message that is in view, in part at least. */
function firstInView(list: Element): Element | undefined {
  const bubbles = list.getElementsByClassName('bubble');
  const top = list.getBoundingClientRect().top;
  let [low, high] = [0, bubbles.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((bubbles[middle] as Element).getBoundingClientRect().bottom > top) high = middle;
    else low = middle + 1;
  }
  return bubbles[low];
}

/**
 * Where the reader of a list of messages is: it opens where the unread ones begin, and nothing but the reader moves it
 * away from what he reads. Whoever reads the end stays there as long as all that is new is in view.
 */
export function usePlace(deps: PlaceDeps) {
  const { messages, isComplete, firstNew, divider, firstUnread, onMoreThanFits, written } = deps;
  const box = useRef<HTMLDivElement>(null);
  /** The first new message at which it was opened. */
  const opened = useRef<string>(undefined);
  const hasMoved = useRef(false);
  const shown = useRef({ first: '', last: '', count: 0 });
  const view = useRef({
    atEnd: true,
    width: 0,
    height: 0,
    scrollTop: 0,
    anchor: undefined as Element | undefined,
    /** Of the anchor, from the top of the list as it is seen. */
    top: 0,
  });
  const [isAtEnd, setAtEnd] = useState(true);
  /** The first message when the start was last in view. */
  const [startInView, setStartInView] = useState<string>();
  const first = messages[0]?.key ?? '';
  const last = messages.at(-1)?.key ?? '';

  const toEnd = (list: HTMLElement) => {
    list.scrollTop = list.scrollHeight;
  };
  const firstUnreadIn = (list: Element): Element | undefined => list.getElementsByClassName('bubble')[firstUnread];
  /** To the end, but no further than to where the unread ones begin: what was never in view is not read there. */
  const follow = (list: HTMLElement) => {
    toEnd(list);
    const unread = firstUnreadIn(list);
    if (!isComplete || !unread || topIn(list, unread) >= 0) return;
    list.scrollTop += topIn(list, unread);
    opened.current = undefined;
    hasMoved.current = false;
    onMoreThanFits();
  };
  /** Whatever measures first after a change has to see to it, since what was in view may be out of it by then. */
  const hold = (list: HTMLElement) => {
    const { atEnd, width, height, scrollTop, anchor, top } = view.current;
    // The pane shrinks when the text below grows or a keyboard comes up, and text breaks anew when a phone is turned.
    const isResized = list.clientHeight !== height || list.clientWidth !== width;
    if (isResized && atEnd) return toEnd(list);
    if (!anchor?.isConnected) return;
    const now = topIn(list, anchor);
    // A resize may have scrolled the list. Else it was the reader, who may be about to.
    const moved = isResized ? now - top : now + list.scrollTop - top - scrollTop;
    if (Math.abs(moved) >= 1) list.scrollTop += moved;
  };
  const note = (list: HTMLElement) => {
    const { scrollTop, clientWidth: width, clientHeight: height, scrollHeight } = list;
    const atEnd = scrollHeight - scrollTop - height < NEAR_END;
    const anchor = firstInView(list);
    view.current = { atEnd, width, height, scrollTop, anchor, top: anchor ? topIn(list, anchor) : 0 };
    setAtEnd(atEnd);
    setStartInView(scrollTop < NEAR_START ? shown.current.first : undefined);
  };
  const measure = (list: HTMLElement) => {
    hold(list);
    note(list);
  };

  useLayoutEffect(() => {
    const list = box.current;
    if (!list) return;
    const before = shown.current;
    const from = messages.findIndex(({ key }) => key === before.first);
    const hasMore = from < 0 || messages.length - from > before.count;
    const hasWritten = hasMore && last !== before.last && last === written;
    shown.current = { first, last, count: messages.length };
    hold(list);
    hasMoved.current ||= hasWritten;
    if (hasWritten) toEnd(list);
    else if (view.current.atEnd && (hasMore || last !== before.last)) follow(list);
    // There it stays while older ones come, until the reader goes elsewhere.
    const count = messages.length - messages.findIndex(({ key }) => key === firstNew);
    const opens = isComplete && !hasMoved.current && count <= MAX_OPENED;
    if (opens && firstNew !== opened.current && divider.current) {
      opened.current = firstNew;
      list.scrollTop += topIn(list, divider.current);
    }
    note(list);
  });

  useEffect(() => {
    const list = box.current;
    if (!list) return;
    const observer = new ResizeObserver(() => measure(list));
    observer.observe(list);
    return () => observer.disconnect();
  }, []);

  const onScroll = () => {
    const list = box.current;
    if (!list) return;
    hasMoved.current ||= list.scrollTop !== view.current.scrollTop;
    measure(list);
  };

  return {
    box,
    isAtEnd,
    startInView,
    /** An effect may run before `isAtEnd` says it. */
    isAtEndNow: useCallback(() => view.current.atEnd, []),
    onScroll,
    /** To where the unread ones begin; whoever is there, to the end. */
    goToNews() {
      const list = box.current;
      if (!list) return;
      const unread = firstUnreadIn(list);
      if (unread && topIn(list, unread) >= list.clientHeight) follow(list);
      else toEnd(list);
    },
  };
}

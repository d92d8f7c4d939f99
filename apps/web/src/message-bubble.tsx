import type { ChatMessage } from '@duet/client';
import { Anchor, VisuallyHidden } from '@mantine/core';
import { IconAlertCircle, IconCheck, IconChecks, IconCircleCheckFilled, IconClock } from '@tabler/icons-react';
import { memo } from 'react';
import { timeOfDay } from './times.ts';

interface MessageBubbleProps {
  message: ChatMessage;
  /** Who wrote it. */
  author: string;
  startsGroup: boolean;
  endsGroup: boolean;
  onRetry: (key: string) => void;
  onDiscard: (key: string) => void;
}

const marks = {
  sending: { Icon: IconClock, label: 'Sending' },
  sent: { Icon: IconCheck, label: 'Sent' },
  delivered: { Icon: IconChecks, label: 'Delivered' },
  read: { Icon: IconCircleCheckFilled, label: 'Read' },
  failed: { Icon: IconAlertCircle, label: 'Not sent' },
  received: undefined,
};

/** What a message says. */
export const textOf = ({ content, unreadable }: Pick<ChatMessage, 'content' | 'unreadable'>): string =>
  unreadable ? 'This message cannot be read any more.' : content;

export const MessageBubble = memo(function MessageBubble({
  message,
  author,
  startsGroup,
  endsGroup,
  onRetry,
  onDiscard,
}: MessageBubbleProps) {
  const { key, mine, createdAt, state, problem } = message;
  const mark = marks[state];
  const classes = ['bubble', mine ? 'mine' : 'theirs', startsGroup && 'starts', endsGroup && 'ends'].filter(Boolean);
  return (
    <div className={classes.join(' ')} data-state={state}>
      {/* From the right, all of its lines, if its text is so; whoever wrote it has no say in that. */}
      <div dir="auto">
        <VisuallyHidden dir="auto">{author}:</VisuallyHidden>
        <p className="text">{textOf(message)}</p>
        <span className="meta">
          <time dateTime={createdAt}>{timeOfDay(createdAt)}</time>
          {mark && <mark.Icon size={15} role="img" aria-label={mark.label} />}
        </span>
      </div>
      {state === 'failed' && (
        <span className="failed" role="alert">
          {problem} <TextButton onClick={() => onRetry(key)}>Try again</TextButton>{' '}
          <TextButton onClick={() => onDiscard(key)}>Discard</TextButton>
        </span>
      )}
    </div>
  );
});

function TextButton({ onClick, children }: { onClick: () => void; children: string }) {
  return (
    <Anchor component="button" type="button" size="xs" c="inherit" underline="always" onClick={onClick}>
      {children}
    </Anchor>
  );
}

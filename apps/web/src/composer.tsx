import { useChat } from '@duet/client/react';
import { ActionIcon, Textarea, VisuallyHidden } from '@mantine/core';
import { IconSend2 } from '@tabler/icons-react';
import { type KeyboardEvent, type RefObject, useEffect, useState } from 'react';
import { draftOf, keepDraft } from './drafts.ts';

const MAX_CONTENT = 4_000;

/** While an input method composes, keys pick words. Safari ends that before the Enter that picks one, and marks it by its code. */
const isComposing = ({ nativeEvent }: KeyboardEvent): boolean => nativeEvent.isComposing || nativeEvent.keyCode === 229;

/** A keyboard on the screen has no Shift with Enter: there it begins a line, as in other apps, and the button sends. */
const entersLines = (): boolean => matchMedia('(hover: none) and (pointer: coarse)').matches;

interface ComposerProps {
  userId: string;
  peerId: string;
  /** Its text box. */
  input: RefObject<HTMLTextAreaElement | null>;
  autoFocus: boolean;
  onSent: (key: string) => void;
}

export function Composer({ userId, peerId, input, autoFocus, onSent }: ComposerProps) {
  const chat = useChat();
  const [text, setText] = useState(() => draftOf(userId, peerId));
  const tooLong = [...text].length - MAX_CONTENT;
  const refusal = tooLong > 0 ? `${tooLong} characters too many` : undefined;
  /** Whether it was to be sent as it stands. */
  const [isTried, setTried] = useState(false);
  const maySend = text.trim() !== '' && tooLong <= 0;

  const change = (changed: string) => {
    setText(changed);
    setTried(false);
    keepDraft(userId, peerId, changed);
  };
  const send = () => {
    setTried(true);
    if (!maySend) return;
    onSent(chat.send(peerId, text));
    change('');
    input.current?.focus();
  };
  useEffect(() => () => chat.stopTyping(peerId), [chat, peerId]);
  const onKeyDown = (event: KeyboardEvent) => {
    // Escape leaves the conversation, but not while something is being written.
    if (event.key === 'Escape' && (text !== '' || isComposing(event))) event.stopPropagation();
    if (event.key !== 'Enter' || event.shiftKey || isComposing(event) || entersLines()) return;
    event.preventDefault();
    send();
  };

  return (
    <form
      className="composer"
      onSubmit={(event) => {
        event.preventDefault();
        send();
      }}
    >
      <Textarea
        ref={input}
        aria-label="Message"
        placeholder="Write a message"
        attributes={{ input: { dir: 'auto' } }}
        autosize
        minRows={1}
        maxRows={6}
        radius="lg"
        size="md"
        flex={1}
        autoFocus={autoFocus}
        value={text}
        error={refusal}
        onChange={(event) => {
          change(event.currentTarget.value);
          if (event.currentTarget.value !== '') chat.typing(peerId);
        }}
        onBlur={() => chat.stopTyping(peerId)}
        onKeyDown={onKeyDown}
      />
      {/* Each key changes the number: it is read when something is to become of it. */}
      <VisuallyHidden role="status">{refusal && (isTried ? `Not sent: ${refusal}` : 'Too long')}</VisuallyHidden>
      <ActionIcon
        type="submit"
        size={42}
        radius="xl"
        aria-label="Send"
        disabled={!maySend}
        // On a phone the keyboard stays as long as the text box has the focus.
        onMouseDown={(event) => event.preventDefault()}
      >
        <IconSend2 size={20} />
      </ActionIcon>
    </form>
  );
}

import type { Chat } from '@duet/client';
import { ActionIcon, Textarea } from '@mantine/core';
import { IconSend2 } from '@tabler/icons-react';
import { type KeyboardEvent, useEffect, useRef, useState } from 'react';

/** The mark is repeated while the user types, and taken back after a pause. */
const TYPING_EVERY_MS = 3_000;
const TYPING_PAUSE_MS = 4_000;
const MAX_CONTENT = 4_000;

interface ComposerProps {
  chat: Chat;
  peerId: string;
}

export function Composer({ chat, peerId }: ComposerProps) {
  const [text, setText] = useState('');
  const typing = useTyping(chat, peerId);
  const tooLong = [...text].length - MAX_CONTENT;
  const maySend = text.trim() !== '' && tooLong <= 0;

  const send = () => {
    if (!maySend) return;
    chat.send(peerId, text);
    setText('');
    typing.stop();
  };
  const onKeyDown = (event: KeyboardEvent) => {
    // While an input method composes, Enter picks a word.
    if (event.key !== 'Enter' || event.shiftKey || event.nativeEvent.isComposing) return;
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
        aria-label="Message"
        placeholder="Write a message"
        autosize
        minRows={1}
        maxRows={6}
        radius="lg"
        size="md"
        flex={1}
        data-autofocus
        autoFocus
        value={text}
        error={tooLong > 0 ? `${tooLong} characters too many` : undefined}
        onChange={(event) => {
          setText(event.currentTarget.value);
          if (event.currentTarget.value !== '') typing.note();
        }}
        onBlur={typing.stop}
        onKeyDown={onKeyDown}
      />
      <ActionIcon type="submit" size={42} radius="xl" aria-label="Send" disabled={!maySend}>
        <IconSend2 size={20} />
      </ActionIcon>
    </form>
  );
}

function useTyping(chat: Chat, peerId: string) {
  const state = useRef<{ since: number; timer?: ReturnType<typeof setTimeout> }>({ since: 0 });

  const stop = () => {
    clearTimeout(state.current.timer);
    if (state.current.since > 0) chat.typing(peerId, false);
    state.current = { since: 0 };
  };
  const note = () => {
    const now = Date.now();
    clearTimeout(state.current.timer);
    if (now - state.current.since > TYPING_EVERY_MS) {
      chat.typing(peerId, true);
      state.current.since = now;
    }
    state.current.timer = setTimeout(stop, TYPING_PAUSE_MS);
  };
  useEffect(() => stop, [peerId]);
  return { note, stop };
}

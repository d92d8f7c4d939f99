import { useChat } from '@duet/client/react';
import { ActionIcon, Textarea } from '@mantine/core';
import { IconSend2 } from '@tabler/icons-react';
import { type KeyboardEvent, useEffect, useState } from 'react';

const MAX_CONTENT = 4_000;

interface ComposerProps {
  peerId: string;
  autoFocus: boolean;
}

export function Composer({ peerId, autoFocus }: ComposerProps) {
  const chat = useChat();
  const [text, setText] = useState('');
  const tooLong = [...text].length - MAX_CONTENT;
  const maySend = text.trim() !== '' && tooLong <= 0;

  const send = () => {
    if (!maySend) return;
    chat.send(peerId, text);
    setText('');
  };
  useEffect(() => () => chat.stopTyping(peerId), [chat, peerId]);
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
        autoFocus={autoFocus}
        value={text}
        error={tooLong > 0 ? `${tooLong} characters too many` : undefined}
        onChange={(event) => {
          setText(event.currentTarget.value);
          if (event.currentTarget.value !== '') chat.typing(peerId);
        }}
        onBlur={() => chat.stopTyping(peerId)}
        onKeyDown={onKeyDown}
      />
      <ActionIcon type="submit" size={42} radius="xl" aria-label="Send" disabled={!maySend}>
        <IconSend2 size={20} />
      </ActionIcon>
    </form>
  );
}

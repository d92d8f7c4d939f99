import { Stack, Title } from '@mantine/core';
import { type ReactNode, type RefObject, useId } from 'react';

interface SectionProps {
  title: string;
  /** Takes the focus when what had it has gone. */
  heading?: RefObject<HTMLHeadingElement | null>;
  children: ReactNode;
}

/** A part of the settings. */
export function Section({ title, heading, children }: SectionProps) {
  const id = useId();
  return (
    <Stack component="section" gap="sm" aria-labelledby={id}>
      <Title order={2} size="h5" id={id} ref={heading ?? null} tabIndex={-1}>
        {title}
      </Title>
      {children}
    </Stack>
  );
}

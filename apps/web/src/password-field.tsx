import { PasswordInput, type PasswordInputProps } from '@mantine/core';

/** Typed once: who wants to be sure looks at it, by keyboard too. */
export function PasswordField({ label, error, ...props }: PasswordInputProps & { label: string }) {
  return (
    <PasswordInput
      label={label}
      required
      withAsterisk={false}
      error={error}
      // The library says it of all its other fields.
      aria-invalid={error ? true : undefined}
      visibilityToggleFocusable
      visibilityToggleButtonProps={{ 'aria-label': `Show ${label.toLowerCase()}` }}
      {...props}
    />
  );
}

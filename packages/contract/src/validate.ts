import type { z } from 'zod';
import { DuetError } from './errors.ts';

/**
 * Checks untrusted input against a schema of the contract.
 * @returns the parsed value: defaults filled in, unknown fields dropped
 * @throws DuetError VALIDATION_ERROR that names each bad field, without repeating the input
 */
export function validate<S extends z.ZodType>(schema: S, input: unknown): z.output<S> {
  const result = schema.safeParse(input);
  if (result.success) return result.data;
  const details = result.error.issues.slice(0, 20).map((issue) => ({
    field: issue.path.map(String).join('.'),
    message: issue.message,
  }));
  throw new DuetError('VALIDATION_ERROR', { details });
}

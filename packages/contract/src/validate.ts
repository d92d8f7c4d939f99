import type { z } from 'zod';
import { DuetError, type FieldError } from './errors.ts';

const MAX_DETAILS = 20;

/** A VALIDATION_ERROR whose sentence names the first bad field; input is never repeated in it. */
export function invalid(details: FieldError[]): DuetError {
  const [first] = details;
  const message = first && `${first.field} ${first.message}`.trim();
  return new DuetError('VALIDATION_ERROR', message ? { message, details } : { details });
}

/**
 * Checks untrusted input against a schema of the contract.
 * @returns the parsed value: defaults filled in, unknown fields dropped
 * @throws DuetError VALIDATION_ERROR that names each bad field
 */
export function validate<S extends z.ZodType>(schema: S, input: unknown): z.output<S> {
  const result = schema.safeParse(input, { error: describe });
  if (result.success) return result.data;
  const byField = new Map<string, FieldError>();
  for (const issue of result.error.issues.slice(0, MAX_DETAILS)) {
    // A key that is not one of ours is the client's input.
    const path = issue.code === 'invalid_key' ? issue.path.slice(0, -1) : issue.path;
    const field = path.map(String).join('.');
    if (!byField.has(field)) byField.set(field, { field, message: issue.message });
  }
  throw invalid([...byField.values()]);
}

const kinds: Record<string, string> = {
  object: 'an object',
  record: 'an object',
  array: 'a list',
  int: 'a whole number',
};

/** One way of speaking for all fields, where a schema has no sentence of its own; it reads on from the field's name. */
function describe(issue: z.core.$ZodRawIssue): string {
  if (issue.code === 'invalid_type') return `must be ${kinds[issue.expected] ?? `a ${issue.expected}`}`;
  if (issue.code === 'invalid_key') return 'must have ids as keys';
  if (issue.code === 'invalid_value') return `must be one of ${issue.values.join(', ')}`;
  if (issue.code === 'too_small') return `must be at least ${issue.minimum}`;
  if (issue.code === 'too_big') return `must be at most ${issue.maximum}`;
  return 'is not valid';
}

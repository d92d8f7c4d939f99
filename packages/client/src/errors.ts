// The one module of the contract that is shipped: codes, what to do about each, and the error class.
export {
  DuetError,
  type ErrorBody,
  type ErrorCode,
  errorTable,
  type FieldError,
  type RetryClass,
  toDuetError,
} from '@duet/contract/errors';

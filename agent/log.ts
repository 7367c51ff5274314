/** What the agent asks of its log: the part of a pino logger that it uses. */
export interface Log {
  debug(fields: object, text: string): void;
  info(fields: object, text: string): void;
  warn(fields: object, text: string): void;
  error(fields: object, text: string): void;
}

/** For parts that say what they did, and what went wrong. */
export type Notes = Pick<Log, 'info' | 'warn'>;

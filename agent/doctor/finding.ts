/** What the doctor looks at and what it says. Checks are functions of a patient, so that a test can be one. */
import type { StatusJson } from '../control/daemon.ts';
import type { HostKernel } from '../host/kernel.ts';
import type { Policy } from '../policy.ts';

export interface Finding {
  /** The check, in one word. */
  readonly check: string;
  /** `problem`: something does not work, and the exit status is 1. `note`: worth knowing. */
  readonly level: 'ok' | 'note' | 'problem';
  readonly message: string;
  /** What to do about it. */
  readonly remedy?: string;
}

export interface Patient {
  /** A file's text without blanks around it; undefined when it is not there or may not be read. */
  read(path: string): string | undefined;
  /** Names of the programs that run in this network namespace (/proc/PID/comm). */
  programs(): readonly string[];
  readonly network: Pick<HostKernel, 'read' | 'routeOf'>;
  readonly uid: number;
  /** The daemon's own word; absent when it does not answer, and then why. */
  readonly status: StatusJson | undefined;
  readonly unreachable: string;
  /** The policy that is in the file; absent when it has errors or is not there. */
  readonly policy: Policy | undefined;
  readonly policyFile: string;
  /** `FILE:LINE:COLUMN: POINTER: message` each. */
  readonly policyErrors: readonly string[];
}

export type Check = (patient: Patient) => Finding[];

export const ok = (check: string, message: string): Finding => ({ check, level: 'ok', message });
export const note = (check: string, message: string, remedy?: string): Finding => ({
  check,
  level: 'note',
  message,
  ...(remedy !== undefined && { remedy }),
});
export const problem = (check: string, message: string, remedy: string): Finding => ({
  check,
  level: 'problem',
  message,
  remedy,
});

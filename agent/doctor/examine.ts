/** Examines this host: gathers what the checks look at, and asks them all. */
import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { controllers } from '../../controllers/all.ts';
import type { ControlClient } from '../control/client.ts';
import type { StatusJson } from '../control/daemon.ts';
import type { HostKernel } from '../host/kernel.ts';
import { loadPolicy, PolicyError } from '../policy.ts';
import { capabilities, daemon, effects, policyFile, rivals, timeouts } from './daemon.ts';
import type { Check, Finding, Patient } from './finding.ts';
import { fallback, mptcp, pathManager, usage } from './kernel.ts';
import { routing } from './routing.ts';

/** In the order in which they are told: what others rest on first. */
const CHECKS: readonly Check[] = [
  mptcp,
  pathManager,
  fallback,
  daemon,
  rivals,
  capabilities,
  timeouts,
  policyFile,
  effects,
  routing,
  usage,
];

export interface Surgery {
  /** The policy that the user named. */
  readonly policy: string | undefined;
  /** The top folder of this program, which has a policy of its own. */
  readonly home: string;
  readonly uid: number;
  network(): Promise<Pick<HostKernel, 'read' | 'routeOf'>>;
  /** Rejects, with what to do, when the daemon does not answer. */
  connect(): Promise<ControlClient>;
}

export async function examine(surgery: Surgery): Promise<Finding[]> {
  const patient = await patientOf(surgery);
  return CHECKS.flatMap((check) => check(patient));
}

async function patientOf({ policy: named, home, uid, network, connect }: Surgery): Promise<Patient> {
  let status: StatusJson | undefined;
  let unreachable = '';
  try {
    const client = await connect();
    status = (await client.call('status')) as StatusJson;
  } catch (error) {
    unreachable = (error as Error).message;
  }
  const usual = '/etc/smappd/policy.json';
  const file =
    named ?? status?.policy.file ?? (existsSync(usual) ? usual : join(home, 'policies/default.json'));
  const policy = await loadPolicy(file, { controllers, uid }).catch((error: Error) => error);
  return {
    read,
    programs,
    network: await network(),
    uid,
    status,
    unreachable,
    policy: policy instanceof Error ? undefined : policy,
    policyFile: file,
    policyErrors: policy instanceof Error ? errorsOf(policy) : [],
  };
}

function errorsOf(error: Error): readonly string[] {
  return error instanceof PolicyError ? error.message.split('\n') : [error.message];
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch {
    return undefined;
  }
}

/** Those in other network namespaces manage other connections. */
function programs(): string[] {
  const ours = namespaceOf('self');
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && namespaceOf(name) === ours)
    .flatMap((name) => read(`/proc/${name}/comm`) ?? []);
}

function namespaceOf(process: string): string | undefined {
  try {
    return readlinkSync(`/proc/${process}/ns/net`);
  } catch {
    return undefined; // gone, or of another user
  }
}

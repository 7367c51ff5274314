/**
 * Keeps the eBPF program that turns applications' sockets into MPTCP in step with the policy. It is in the
 * kernel only while an app asks for it: every socket of the host that is made passes through it.
 */
import type { MptcpSwitch } from '../bpf/mptcp-switch.ts';
import type { Clock } from '../clock.ts';
import type { Log } from '../log.ts';
import type { Millis } from '../model.ts';
import type { AppRule } from '../policy/apps-section.ts';

interface Ports {
  readonly clock: Clock;
  readonly log: Pick<Log, 'warn'>;
}

/** Programs and control groups are known to it by inode numbers, which change when they are replaced. */
const REFRESH: Millis = 2000;

export class AppSwitch {
  /** What of the policy in force has no effect, a sentence each. */
  problems: readonly string[] = [];
  readonly #open: () => MptcpSwitch;
  readonly #ports: Ports;
  #switch: MptcpSwitch | undefined;
  #cancel: () => void = () => {};

  constructor(open: () => MptcpSwitch, ports: Ports) {
    this.#open = open;
    this.#ports = ports;
  }

  configure(apps: readonly AppRule[]): void {
    if (!apps.some(({ mptcp }) => mptcp)) return this.close();
    this.#switch ??= this.#open();
    this.problems = this.#switch.configure(apps);
    for (const problem of this.problems) this.#ports.log.warn({}, problem);
    this.#cancel();
    if (this.#switch.works) this.#refreshLater(this.#switch);
  }

  close(): void {
    this.#cancel();
    this.#switch?.close();
    this.#switch = undefined;
    this.problems = [];
  }

  #refreshLater(current: MptcpSwitch): void {
    this.#cancel = this.#ports.clock.after(REFRESH, () => {
      current.refresh();
      this.#refreshLater(current);
    });
  }
}

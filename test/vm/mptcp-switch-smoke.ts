/**
 * Run in a guest: has bash make TCP connections as various processes under various rules, and prints for
 * each case whether its socket was an MPTCP one.
 */
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync } from 'node:fs';
import net from 'node:net';
import { loadBpf } from '../../agent/bpf/addon.ts';
import type { SwitchedApp } from '../../agent/bpf/mptcp-rules.ts';
import { openMptcpSwitch } from '../../agent/bpf/mptcp-switch.ts';

const server = net.createServer((socket) => socket.resume().on('error', () => {}));
await once(server.listen(0, '127.0.0.1'), 'listening');
const { port } = server.address() as net.AddressInfo;
const mptcpSwitch = openMptcpSwitch(loadBpf());

const PLAYER = '/system.slice/player.service/worker';
mkdirSync(`/sys/fs/cgroup${PLAYER}`, { recursive: true });

/** Whether the connections of a process become MPTCP. */
function switched({ cgroup = '/', uid = 0 }: { cgroup?: string; uid?: number }): boolean {
  const connect = `exec 3<>/dev/tcp/127.0.0.1/${port}; ss -MnH state established "( dport = :${port} )"`;
  const script = `echo $$ >/sys/fs/cgroup${cgroup}/cgroup.procs; exec setpriv --reuid=${uid} bash -c '${connect}'`;
  return (
    execFileSync('sh', ['-c', script], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] }) !== ''
  );
}

const app = (mptcp: boolean, match: Partial<SwitchedApp['match']>): SwitchedApp => ({
  name: 'app',
  mptcp,
  match: { unit: undefined, cgroup: undefined, user: undefined, exe: undefined, ...match },
});
const under = (...apps: SwitchedApp[]) => mptcpSwitch.configure(apps);

const cases: Record<string, boolean | string> = { reason: mptcpSwitch.reason };
under(app(true, { exe: ['/bin/bash'] }));
cases['its program'] = switched({});
under(app(true, { exe: ['/bin/true'] }));
cases['another program'] = switched({});
under(app(true, { unit: ['player.service'] }));
cases['below its unit'] = switched({ cgroup: PLAYER });
cases['outside its unit'] = switched({});
under(app(true, { cgroup: ['/system.slice'] }));
cases['below its cgroup'] = switched({ cgroup: PLAYER });
cases['outside its cgroup'] = switched({});
under(app(true, { user: ['nobody'], exe: ['/bin/bash'] }));
cases['its user and program'] = switched({ uid: 65534 });
cases['its program, another user'] = switched({});
under(app(false, { unit: ['player.service'] }), app(true, { exe: ['/bin/bash'] }));
cases['an app before it has the process'] = switched({ cgroup: PLAYER });
cases['an app before it has others'] = switched({});
mptcpSwitch.close();
cases['closed'] = switched({});
console.log(JSON.stringify(cases));
process.exit();

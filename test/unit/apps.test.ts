/** From a socket to its application, on a made-up host: /proc and the cgroup tree are folders of ours. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, statSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type TestContext } from 'node:test';
import { cgroupMounts, unitsOf } from '../../agent/apps/cgroups.ts';
import { Users } from '../../agent/apps/users.ts';
import { type AppPorts, Apps, type SocketOwner } from '../../agent/apps.ts';
import type { ConnectionFacts } from '../../agent/choice.ts';
import type { Identity } from '../../agent/policy/choose.ts';

const facts: ConnectionFacts = {
  token: 7,
  side: 'client',
  local: { ip: '192.0.2.7', port: 40000 },
  remote: { ip: '198.51.100.20', port: 443 },
};

/** A host with a cgroup tree and processes; `identify` asks about the connection that `socket` belongs to. */
class Host {
  readonly folder = mkdtempSync(join(tmpdir(), 'smappd-test-'));
  readonly proc = join(this.folder, 'proc');
  #apps: Apps | undefined;
  #socket: SocketOwner | undefined;
  ports: Partial<AppPorts> = {};

  constructor(t: TestContext, extraMounts = '') {
    t.after(() => rmSync(this.folder, { recursive: true }));
    mkdirSync(this.proc);
    writeFileSync(join(this.proc, 'mounts'), `${extraMounts}cgroup2 ${this.folder}/cgroup cgroup2 rw 0 0\n`);
    this.cgroup('/');
  }

  /** Makes a group with these processes; returns its number. */
  cgroup(path: string, ...pids: number[]): number {
    const folder = join(this.folder, 'cgroup', path);
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, 'cgroup.procs'), pids.map((pid) => `${pid}\n`).join(''));
    return statSync(folder).ino;
  }

  process(pid: number, exe: string, ...sockets: number[]): void {
    mkdirSync(join(this.proc, String(pid), 'fd'), { recursive: true });
    symlinkSync(exe, join(this.proc, String(pid), 'exe'));
    symlinkSync('/dev/null', join(this.proc, String(pid), 'fd/0'));
    for (const [index, inode] of sockets.entries()) this.open(pid, index + 3, inode);
  }

  open(pid: number, fd: number, inode: number): void {
    symlinkSync(`socket:[${inode}]`, join(this.proc, String(pid), 'fd', String(fd)));
  }

  identify(socket: Partial<SocketOwner> | undefined, about = facts): Identity {
    this.#socket = socket && { inode: 1000, uid: 0, cgroup: 0, ...socket };
    this.#apps ??= new Apps(
      {
        now: () => 0,
        socket: () => this.#socket,
        listener: (at) => this.ports.listener?.(at),
        process: (token) => this.ports.process?.(token),
      },
      this.proc,
    );
    return this.#apps.identify(about);
  }
}

test('the control group and its units are found by number, also when the group is newer than we are', (t) => {
  const host = new Host(t);
  const first = host.identify({ cgroup: host.cgroup('/system.slice/player.service') });
  assert.equal(first.cgroup(), '/system.slice/player.service');
  assert.deepEqual(first.units(), ['player.service', 'system.slice']);
  const later = host.cgroup('/user.slice/user-1000.slice/user@1000.service/app.slice/_a.service/payload');
  assert.deepEqual(host.identify({ cgroup: later }).units(), [
    'a.service',
    'app.slice',
    'user@1000.service',
    'user-1000.slice',
    'user.slice',
  ]);
});

test('a control group that has gone is still known, one that never was seen is not', (t) => {
  const host = new Host(t);
  const id = host.cgroup('/gone.service');
  assert.equal(host.identify({ cgroup: id }).cgroup(), '/gone.service');
  rmSync(join(host.folder, 'cgroup/gone.service'), { recursive: true });
  assert.equal(host.identify({ cgroup: id }).cgroup(), '/gone.service');
  const unknown = host.identify({ cgroup: 999_999_999 });
  assert.equal(unknown.cgroup(), undefined);
  assert.deepEqual(unknown.units(), []);
});

test('the program is that of all processes in the group, without a look at their files', (t) => {
  const host = new Host(t);
  const cgroup = host.cgroup('/web.service', 10, 11);
  host.process(10, '/usr/sbin/web');
  host.process(11, '/usr/sbin/web (deleted)');
  assert.equal(host.identify({ cgroup }).exe(), '/usr/sbin/web');
});

test('among several programs it is that of the process that has the socket', (t) => {
  const host = new Host(t);
  const cgroup = host.cgroup('/session.scope', 10, 11);
  host.process(10, '/usr/bin/bash', 500);
  host.process(11, '/usr/bin/ssh', 501, 1000);
  assert.equal(host.identify({ cgroup }).exe(), '/usr/bin/ssh');
});

test('a process outside the group of its socket is found too', (t) => {
  const host = new Host(t);
  const cgroup = host.cgroup('/session.scope', 10, 11);
  host.process(10, '/usr/bin/bash');
  host.process(11, '/usr/bin/vi');
  host.process(12, '/usr/bin/ssh', 1000);
  assert.equal(host.identify({ cgroup }).exe(), '/usr/bin/ssh');
});

test('a service manager that opened the socket for another is not taken for its user', (t) => {
  const host = new Host(t);
  const cgroup = host.cgroup('/init.scope', 1);
  host.process(1, '/usr/lib/systemd/systemd', 400);
  host.process(12, '/usr/sbin/sshd', 1000);
  assert.equal(host.identify({ cgroup }).exe(), '/usr/sbin/sshd');
});

test('where a socket was seen is checked before it is believed', (t) => {
  const host = new Host(t);
  host.process(10, '/usr/bin/one', 1000, 1001);
  host.process(11, '/usr/bin/two');
  assert.equal(host.identify({ inode: 1000 }).exe(), '/usr/bin/one');
  unlinkSync(join(host.proc, '10/fd/3'));
  host.open(11, 3, 1000);
  assert.equal(host.identify({ inode: 1000 }).exe(), '/usr/bin/two');
  host.open(10, 3, 1002);
  assert.equal(host.identify({ inode: 1002 }).exe(), '/usr/bin/one');
  rmSync(join(host.proc, '10'), { recursive: true });
  assert.equal(host.identify({ inode: 1002 }).exe(), undefined);
});

test('the process that eBPF saw at connect() is believed first, while it lives', (t) => {
  const host = new Host(t);
  host.process(10, '/usr/bin/one', 1000);
  host.process(11, '/usr/bin/two');
  const cgroup = host.cgroup('/both.scope', 10);
  host.ports = { process: () => 11 };
  assert.equal(host.identify({ inode: 1000, cgroup }).exe(), '/usr/bin/two');
  rmSync(join(host.proc, '11'), { recursive: true });
  assert.equal(host.identify({ inode: 1000 }).exe(), '/usr/bin/one');
});

test('before accept() a connection is the listener’s', (t) => {
  const host = new Host(t);
  const cgroup = host.cgroup('/web.service', 10);
  host.process(10, '/usr/sbin/web', 1000);
  const coming: ConnectionFacts = { ...facts, side: 'server' };
  assert.equal(host.identify({ inode: 0, uid: 0 }, coming).uid(), undefined);
  host.ports = { listener: () => ({ inode: 1000, uid: 33, cgroup }) };
  const known = host.identify({ inode: 0, uid: 0 }, coming);
  assert.equal(known.uid(), 33);
  assert.equal(known.cgroup(), '/web.service');
  assert.equal(known.exe(), '/usr/sbin/web');
});

test('nothing is known of a socket that has gone', (t) => {
  const who = new Host(t).identify(undefined);
  assert.deepEqual(
    [who.uid(), who.user(), who.cgroup(), who.units(), who.exe()],
    [undefined, undefined, undefined, [], undefined],
  );
});

test('where systemd keeps its units in a v1 hierarchy, the process tells the unit', (t) => {
  const host = new Host(t, 'cgroup /sys/fs/cgroup/systemd cgroup rw,relatime,name=systemd 0 0\n');
  host.process(10, '/usr/bin/player', 1000);
  writeFileSync(join(host.proc, '10/cgroup'), '1:name=systemd:/system.slice/player.service\n0::/\n');
  const who = host.identify({ cgroup: host.cgroup('/') });
  assert.equal(who.cgroup(), '/');
  assert.deepEqual(who.units(), ['player.service', 'system.slice']);
});

test('the cgroup2 mount is found alone, beside v1, and with a space in its name', () => {
  assert.deepEqual(cgroupMounts('cgroup2 /sys/fs/cgroup cgroup2 rw,nosuid 0 0\n'), {
    unified: '/sys/fs/cgroup',
    systemdV1: false,
  });
  const hybrid =
    'tmpfs /sys/fs/cgroup tmpfs rw 0 0\n' +
    'cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n' +
    'cgroup /sys/fs/cgroup/systemd cgroup rw,xattr,name=systemd 0 0\n';
  assert.deepEqual(cgroupMounts(hybrid), { unified: '/sys/fs/cgroup/unified', systemdV1: true });
  assert.equal(cgroupMounts('none /a\\040b cgroup2 rw 0 0\n').unified, '/a b');
  assert.equal(cgroupMounts('tmpfs /tmp tmpfs rw 0 0\n').unified, undefined);
  assert.deepEqual(unitsOf('/'), []);
});

test('users come from the file, which may change, then from getent', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'smappd-test-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'passwd');
  writeFileSync(file, 'ada:x:1000:1000::/home/ada:/bin/sh\ntwin:x:1000:1000::/:/bin/sh\n');
  const users = new Users(() => 0, file);
  assert.equal(users.nameOf(1000), 'ada');
  assert.equal(users.nameOf(0), 'root');
  assert.equal(users.nameOf(3_999_999_999), undefined);
  writeFileSync(file, 'grace:x:1000:1000::/home/grace:/bin/sh\nroot2:x:0:0::/:/bin/sh\n\n');
  assert.equal(users.nameOf(1000), 'grace');
});

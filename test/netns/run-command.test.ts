/** `smappctl run`: real programs, started with MPTCP in place of TCP. */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { kindOf } from '../../agent/run-command.ts';
import { Namespace } from './namespaces.ts';

const SMAPPCTL = fileURLToPath(new URL('../../agent/cli.js', import.meta.url));

/** Prints the protocol of the sockets that it makes: IPv4, IPv6 non-blocking, UDP. */
const SOCKETS = `
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
static int protocol(int domain, int type)
{
	int value = -1, fd = socket(domain, type, 0);
	socklen_t size = sizeof(value);
	getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &value, &size);
	return value;
}
int main(int argc, char **argv)
{
	printf("%d %d %d %s\\n", protocol(AF_INET, SOCK_STREAM), protocol(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK),
	       protocol(AF_INET, SOCK_DGRAM), argc > 1 ? argv[1] : "");
	return 3;
}
`;

const folder = mkdtempSync(join(tmpdir(), 'smappd-run-'));
const compile = (name: string, source: string, ...flags: string[]): string => {
  writeFileSync(join(folder, `${name}.c`), source);
  execFileSync('cc', ['-o', join(folder, name), join(folder, `${name}.c`), ...flags]);
  return join(folder, name);
};
let namespace: Namespace;
let sockets: string;

before(() => {
  namespace = new Namespace('run');
  sockets = compile('sockets', SOCKETS);
});
after(() => {
  namespace.remove();
  rmSync(folder, { recursive: true });
});

function run(...command: string[]) {
  const args = [`--net=${namespace.path}`, process.execPath, SMAPPCTL, 'run', '--', ...command];
  return spawnSync('nsenter', args, { encoding: 'utf8' });
}

test('TCP sockets of a program become MPTCP, its other sockets, its arguments and its status do not change', () => {
  const { stdout, stderr, status } = run(sockets, '--version');
  assert.equal(stdout, '262 262 17 --version\n');
  assert.equal(status, 3);
  assert.match(stderr, /sockets runs with LD_PRELOAD=\S+\/mptcp-preload\.so, and GODEBUG=multipathtcp=1/);
});

test('what the program starts is reached too', () => {
  assert.equal(run('sh', '-c', `${sockets} | cat`).stdout, '262 262 17 \n');
});

test('where MPTCP is switched off the program gets TCP', () => {
  namespace.sysctl({ 'net.mptcp.enabled': 0 });
  assert.equal(run(sockets).stdout, '6 6 17 \n');
  namespace.sysctl({ 'net.mptcp.enabled': 1 });
});

test('what cannot be reached is refused, with the reason', () => {
  const fixed = compile('fixed', 'int main(void) { return 0; }', '-static');
  const { stderr, status } = run(fixed);
  assert.equal(status, 1);
  assert.match(stderr, /fixed is linked statically and is no Go program/);
  assert.match(run('no-such-program').stderr, /there is no program "no-such-program"/);
});

test('Go programs are known by their build information, scripts count as dynamic', () => {
  const section = '__attribute__((section(".go.buildinfo"))) char info[] = "Go";';
  assert.equal(kindOf(compile('go', `${section} int main(void) { return 0; }`, '-static')), 'go');
  assert.equal(kindOf(sockets), 'dynamic');
  writeFileSync(join(folder, 'script'), '#!/bin/sh\n');
  chmodSync(join(folder, 'script'), 0o755);
  assert.equal(kindOf(join(folder, 'script')), 'dynamic');
});

test('a signal goes to the command, and its end is told as a shell does', async () => {
  const child = namespace.start(process.execPath, [SMAPPCTL, 'run', '--', 'sleep', '60'], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  await once(child.stderr!, 'data');
  child.kill('SIGTERM');
  const [status] = await once(child, 'exit');
  assert.equal(status, 128 + 15);
});

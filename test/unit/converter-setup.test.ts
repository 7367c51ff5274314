/** From the policy's `converter` to the data path's command line, nftables rules and Squid's configuration. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { dataPathArguments } from '../../agent/converter/arguments.ts';
import { squidConfiguration } from '../../agent/converter/http-proxy.ts';
import { networkCommands, nftClear, nftRules } from '../../agent/converter/rules.ts';
import { converterSection, converterWanted } from '../../agent/converter/section.ts';

const paths = { control: '/run/smappd/converter.sock', cookieKey: '/run/smappd/converter-cookie.key' };
const policy = (written: object) => converterSection.parse(written);
const transparent = { interfaces: ['lan0', 'lan1'], ports: [80, 443] };

test('a policy that names no door wants no converter', () => {
  assert.equal(converterWanted(policy({})), false);
  assert.equal(converterWanted(policy({ sources: ['10.0.0.0/8'] })), false);
  assert.equal(converterWanted(policy({ transparent })), true);
  assert.equal(converterWanted(policy({ explicit: { listen: ['0.0.0.0:5124'] } })), true);
  assert.equal(converterWanted(policy({ http: { listen: '0.0.0.0:3128' } })), true);
});

test('every key reaches the data path', () => {
  const line = dataPathArguments(
    policy({
      transparent: { ...transparent, spoof: true },
      explicit: { listen: ['[::]:5124'], cookies: true },
      http: { listen: '0.0.0.0:3128' },
      sources: ['192.0.2.0/24', '2001:db8::1'],
      allow: ['10.1.0.2'],
      deny: ['198.51.100.0/24'],
      synOpen: 'hold',
      datapath: 'user',
      serverMptcp: true,
      threads: 3,
      connections: 1000,
      perSource: 50,
      batch: '64KiB',
      socketBuffer: '1MiB',
      requestTimeout: '1s',
      connectTimeout: '2s',
      idleTimeout: '3s',
      halfCloseTimeout: '4s',
    }),
    paths,
  ).join(' ');
  for (const part of [
    '--takeover',
    '--server-mptcp',
    '--spoof',
    '--dst-opt',
    '--listen transparent,0.0.0.0:80 --listen transparent,[::]:80',
    '--listen transparent,0.0.0.0:443 --listen transparent,[::]:443',
    '--listen explicit,[::]:5124',
    '--listen forward,0.0.0.0:3128,127.0.0.1:3129',
    '--control /run/smappd/converter.sock',
    '--cookie-key /run/smappd/converter-cookie.key',
    '--allow-source 192.0.2.0/24 --allow-source 2001:db8::1/128',
    '--allow 10.1.0.2/32',
    '--deny 198.51.100.0/24',
    '--syn-open hold',
    '--syn-interface lan0 --syn-interface lan1',
    '--threads 3',
    '--max-connections 1000',
    '--per-source 50',
    '--batch 65536',
    '--socket-buffer 1048576',
    '--request-timeout 1000',
    '--connect-timeout 2000',
    '--idle-timeout 3000',
    '--half-close-timeout 4000',
  ]) {
    assert.ok(` ${line} `.includes(` ${part} `), `${part} in ${line}`);
  }
});

test('what is not asked for is left to the data path', () => {
  const line = dataPathArguments(policy({ transparent }), paths).join(' ');
  assert.doesNotMatch(line, /--(threads|socket-buffer|cookie-key|spoof|server-mptcp|dst-opt|allow|deny)\b/);
});

test('rules for transparent mode: a listener a port, nothing for the host itself, joins never held', () => {
  const rules = nftRules(policy({ transparent, synOpen: 'hold' })).split('\n');
  const at = (part: string) => {
    const index = rules.findIndex((line) => line.includes(part));
    assert.ok(index >= 0, `${part} in\n${rules.join('\n')}`);
    return index;
  };
  // One transaction takes what was there before and makes it anew.
  assert.deepEqual(rules.slice(0, 2).join('\n'), nftClear().trimEnd());
  for (const port of [80, 443]) {
    at(`meta nfproto ipv4 tcp dport ${port} tproxy ip to :${port}`);
    at(`meta nfproto ipv6 tcp dport ${port} tproxy ip6 to :${port}`);
  }
  const clients = 'iifname { "lan0", "lan1" } tcp dport { 80, 443 } fib daddr type != local';
  assert.ok(at(`${clients} jump hold`) < at(`${clients} jump divert`));
  assert.ok(at('tcp option mptcp subtype 1 return') < at('counter drop'));
});

test('nothing is dropped unless SYNs are held', () => {
  for (const synOpen of ['off', 'parallel']) {
    const rules = nftRules(policy({ transparent, explicit: { listen: ['0.0.0.0:5124'] }, synOpen }));
    assert.doesNotMatch(rules, /jump hold|5124/);
  }
});

test('networks become local', () => {
  const networks = ['2001:db8:c::/64', '2001:db8:d:1::/64'];
  assert.deepEqual(networkCommands(policy({ explicit: { listen: ['[::]:5124'], networks } })), [
    '-6 route replace local 2001:db8:c::/64 dev lo proto 213',
    '-6 route replace local 2001:db8:d:1::/64 dev lo proto 213',
  ]);
});

test('Squid allows before it denies, and never listens but on the loopback address', () => {
  const lines = squidConfiguration(
    policy({ http: { listen: '0.0.0.0:3128', connectPorts: [443, 8443] }, allow: ['10.1.0.0/16'] }),
  ).split('\n');
  assert.deepEqual(
    lines.filter((line) => /^(http_port|acl connect_ports|http_access)/.test(line)),
    [
      'http_port 127.0.0.1:3129',
      'acl connect_ports port 443 8443',
      'http_access deny CONNECT !connect_ports',
      'http_access allow allowed',
      'http_access deny special',
      'http_access allow all',
    ],
  );
});

/** Links, addresses, routes and rules as Linux 6.1, 6.12 and 6.18 dumped them (test/captures). */
import assert from 'node:assert/strict';
import test from 'node:test';
import { type Message, messageAt } from '../../agent/netlink/message.ts';
import { readAddress, readLink, readRoutes, readRule } from '../../agent/netlink/rtnetlink.ts';
import { captured, KERNELS } from '../captures/read.ts';

for (const kernel of KERNELS) {
  const read = <T>(file: string, reader: (message: Message) => T): T[] =>
    captured(kernel, file).map(({ view, length }) => reader(messageAt(view, 0, length)));
  const links = read('links', readLink);
  const indexOf = (name: string): number => links.find(({ ifname }) => ifname === name)!.ifindex;
  const path0 = indexOf('path0');

  test(`Linux ${kernel}: links`, () => {
    const flags = (name: string) => links.find(({ ifname }) => ifname === name)!;
    assert.deepEqual(flags('lo'), { ifindex: 1, ifname: 'lo', up: true, carrier: true, loopback: true });
    assert.deepEqual(flags('path0'), {
      ifindex: path0,
      ifname: 'path0',
      up: true,
      carrier: true,
      loopback: false,
    });
  });

  test(`Linux ${kernel}: addresses`, () => {
    const found = read('addresses', readAddress).filter((address) => address?.ifindex === path0);
    const plain = { ifindex: path0, tentative: false, deprecated: false, temporary: false };
    assert.deepEqual(
      found.filter((address) => !address!.ip.startsWith('fe80:')),
      [
        { family: 4, ip: '10.2.0.1', ...plain },
        { family: 6, ip: 'fd02::1', ...plain },
      ],
    );
    assert.equal(found.length, 3);
  });

  test(`Linux ${kernel}: routes`, () => {
    const routes = [...read('routes-ipv4', readRoutes), ...read('routes-ipv6', readRoutes)].flat();
    const ours = routes.filter(({ gateway }) => gateway !== undefined);
    const plain = {
      family: 4,
      table: 254,
      ifindex: path0,
      metric: 0,
      onlink: false,
      mtu: undefined,
      protocol: 3,
    };
    assert.deepEqual(
      ours.sort((a, b) => (a.destination + a.gateway < b.destination + b.gateway ? -1 : 1)),
      [
        { ...plain, destination: '0.0.0.0/0', gateway: '10.2.0.2', metric: 100 },
        { ...plain, destination: '10.3.0.0/16', gateway: '10.2.0.3', table: 1000, mtu: 1400, protocol: 99 },
        { ...plain, destination: '10.4.0.0/16', gateway: '10.2.0.2' },
        { ...plain, destination: '10.4.0.0/16', gateway: '10.2.0.3' },
        { ...plain, family: 6, destination: '::/0', gateway: 'fd02::2', metric: 100 },
      ],
    );
    assert.ok(
      routes.some(({ destination, gateway }) => destination === '10.2.0.0/24' && gateway === undefined),
    );
  });

  test(`Linux ${kernel}: rules`, () => {
    const rules = [...read('rules-ipv4', readRule), ...read('rules-ipv6', readRule)];
    const plain = { priority: 500, table: 1000, protocol: 99 };
    assert.deepEqual(
      rules.filter((rule) => rule !== undefined),
      [
        { ...plain, family: 4, source: '10.2.0.1' },
        { ...plain, family: 6, source: 'fd02::1' },
      ],
    );
  });
}

/** What /proc/net/protocols tells of the address families in use. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { inUse } from '../../agent/netlink/socket-counts.ts';

const lines = (mptcp6: number, mptcp: number): string => `\
protocol  size sockets  memory press maxhdr  slab module     cl co di ac io in de sh ss gs se re bi br ha uh gp em
MPTCPv6   2064      ${mptcp6}   24731   no       0   yes  kernel      y  y  y  n  y  y  y  y  y  y  y  y  n  n  y  y  y  n
TCPv6     2432      1   24731   no     192   yes  kernel      y  y  y  y  y  y  y  y  y  y  y  y  n  y  y  y  y  y
MPTCP     1936  ${mptcp}   24731   no       0   yes  kernel      y  y  y  n  y  y  y  y  y  y  y  y  n  n  y  y  y  n
TCP       2304      0   24731   no     192   yes  kernel      y  y  y  y  y  y  y  y  y  y  y  y  n  y  y  y  y  y
`;

test('a family without sockets is not in use', () => {
  assert.deepEqual(inUse('MPTCP', lines(0, 50004)), { ip4: true, ip6: false });
  assert.deepEqual(inUse('MPTCP', lines(7, 0)), { ip4: false, ip6: true });
  assert.deepEqual(inUse('MPTCP', lines(7, 1)), { ip4: true, ip6: true });
  assert.deepEqual(inUse('TCP', lines(0, 0)), { ip4: false, ip6: true });
});

test('where nothing is counted, both may be in use', () => {
  assert.deepEqual(inUse('MPTCP', lines(0, 0)), { ip4: true, ip6: true });
  assert.deepEqual(inUse('TCP', ''), { ip4: true, ip6: true });
});

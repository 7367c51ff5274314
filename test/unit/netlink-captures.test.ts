/** The codecs against what Linux 6.1, 6.12 and 6.18 really said (test/captures): events, commands, answers, sockets. */
import assert from 'node:assert/strict';
import test from 'node:test';
import type { Local, Subflow } from '../../agent/model.ts';
import { Writer } from '../../agent/netlink/attributes.ts';
import {
  beginMessage,
  endMessage,
  messageAt,
  messageSequence,
  messagesIn,
  messageType,
  putGenlHeader,
  readOutcome,
} from '../../agent/netlink/message.ts';
import { ATTR, decodeEvent, encodeCommand, type PathCommand } from '../../agent/netlink/mptcp-pm.ts';
import { connectionSocket, subflowSocket } from '../../agent/netlink/sock-diag.ts';
import { captured, capturedAs, KERNELS, type Kernel } from '../captures/read.ts';
import { type Ends, FAMILIES, PORTS } from '../captures/scenario.ts';

const HEADERS = 16 + 4;

/** The tokens of both ends as our own requests name them: no event decoder had a part in it. */
function tokens(kernel: Kernel, family: string): { client: number; server: number } {
  const of = (name: string): number => {
    const { view, length } = capturedAs(kernel, `requests-${family}`, name);
    return ATTR.decode(view, HEADERS, length).token!;
  };
  return { client: of('open'), server: of('announce') };
}

/** Every field, in one line; tokens by the name of their side. */
function line(event: object, { client, server }: { client: number; server: number }): string {
  const text = (key: string, value: unknown): string => {
    if (key === 'token') return value === client ? 'client' : value === server ? 'server' : `${value}`;
    if (typeof value !== 'object' || value === null) return `${key} ${value}`;
    const { ip, port, id } = value as { ip: string; port: number; id?: number };
    return `${key} ${ip} ${port}${id === undefined ? '' : ` id ${id}`}`;
  };
  return Object.entries(event)
    .map(([key, value]) => (key === 'kind' ? value : text(key, value)))
    .join(', ');
}

function expectedEvents(kernel: Kernel, ends: Ends, port: number): string[] {
  const { server, client, second, announced, socket } = ends;
  const listener = `local ${socket === 6 ? '::' : '0.0.0.0'} 5001`;
  const fromClient = `local ${client} 40001, remote ${server} 5001, localId 0, remoteId 0, backup false, ifindex 0`;
  const fromServer = `local ${server} 5001, remote ${client} 40001, localId 0, remoteId 0, backup false, ifindex 0`;
  const openedHere = `local ${second} 40002, remote ${server} 5001, localId 3, remoteId 0, backup false, ifindex 0`;
  const openedThere = (backup: boolean): string =>
    `local ${server} 5001, remote ${second} 40002, localId 0, remoteId 3, backup ${backup}, ifindex 0`;
  const refused = `local ${second} ${port}, remote ${server} 5002, localId 3, remoteId 0, backup false, ifindex 0`;
  const lines = [
    `listener-up, ${listener}`,
    `created, client, side client, ${fromClient}`,
    `created, server, side server, ${fromServer}`,
    `established, server, side server, ${fromServer}`,
    `established, client, side client, ${fromClient}`,
    `subflow-up, client, ${openedHere}`,
    `subflow-up, server, ${openedThere(false)}`,
    // Only the side that did not ask for it is told, and "backup" is what the peer asked for.
    `priority, server, ${openedThere(true)}`,
    `remote-up, client, remote ${announced} 5001 id 4`,
    'remote-down, client, id 4',
    `subflow-down, client, errno 0, resetReason 0, ${openedHere}`,
    `subflow-down, server, errno 0, resetReason 0, ${openedThere(true)}`,
    `subflow-down, client, errno 111, resetReason 0, ${refused}`,
    'closed, client',
    'closed, server',
    `listener-down, ${listener}`,
  ];
  // Events of listeners came with Linux 6.2.
  return kernel === '6.1' ? lines.filter((text) => !text.startsWith('listener')) : lines;
}

function commands({ second, server, announced }: Ends): Record<string, PathCommand> {
  const local: Local = { ip: second, id: 3, ifname: 'lo', ifindex: 0, role: 'backup', metered: false };
  const remote = { ip: server, port: PORTS.server, id: 0 };
  const subflow = { local: { ip: second, port: PORTS.second }, remote } as unknown as Subflow;
  const other = { ...local, ip: announced, id: 4 };
  return {
    open: { kind: 'open', local, remote, backup: false, localPort: PORTS.second },
    backup: { kind: 'backup', subflow, on: true },
    announce: { kind: 'announce', local: other },
    withdraw: { kind: 'withdraw', local: other },
    close: { kind: 'close', subflow },
    'open-refused': { kind: 'open', local, remote: { ...remote, port: PORTS.nobody }, backup: true },
  };
}

for (const kernel of KERNELS) {
  for (const [family, ends] of Object.entries(FAMILIES)) {
    const both = tokens(kernel, family);

    test(`Linux ${kernel}, ${family}: every event of a connection`, () => {
      const decoded = captured(kernel, `events-${family}`).map(
        ({ view, length }) => decodeEvent(view, 16, length)!,
      );
      const refused = decoded.findLast((event) => event.kind === 'subflow-down')!;
      assert.ok(refused.local.port > 1024);
      assert.deepEqual(
        decoded.map((event) => line(event, both)),
        expectedEvents(kernel, ends, refused.local.port),
      );
    });

    for (const [name, command] of Object.entries(commands(ends))) {
      test(`Linux ${kernel}, ${family}: ${name} is encoded as the kernel took it`, () => {
        const { view, length } = capturedAs(kernel, `requests-${family}`, name);
        const token = name === 'announce' || name === 'withdraw' ? both.server : both.client;
        const { number, request } = encodeCommand(token, command);
        const out = new Writer(1024);
        beginMessage(out, messageType(view, 0), 5, messageSequence(view, 0));
        putGenlHeader(out, number, 1);
        ATTR.encode(out, request);
        endMessage(out, 0);
        assert.equal(hex(out.view, out.at), hex(view, length));
        const answer = capturedAs(kernel, `answers-${family}`, name);
        assert.deepEqual(readOutcome(answer.view, 0, answer.length), {
          errno: 0,
          kernelMessage: '',
          offset: undefined,
        });
      });
    }

    test(`Linux ${kernel}, ${family}: the kernel's reason and its place in the request`, () => {
      const answer = capturedAs(kernel, `answers-${family}`, 'unknown-token');
      const request = capturedAs(kernel, `requests-${family}`, 'unknown-token');
      const { errno, kernelMessage, offset } = readOutcome(answer.view, 0, answer.length);
      assert.equal(errno, 22);
      assert.match(kernelMessage, /token/);
      if (offset !== undefined) assert.equal(request.view.getUint16(offset + 2, true), 4, 'not at the token');
    });

    test(`Linux ${kernel}, ${family}: the initial subflow by its ports`, () => {
      const { view, length } = capturedAs(kernel, `answers-${family}`, 'subflow');
      const { stats, inode, cgroup, ...found } = subflowSocket(messageAt(view, 0, length), 7)!;
      assert.deepEqual(found, {
        state: 'established',
        local: { ip: ends.client, port: PORTS.client },
        remote: { ip: ends.server, port: PORTS.server },
        ifindex: 0,
        uid: 0,
        mark: 0,
        token: both.client,
        remoteToken: 0,
        localId: 0,
        remoteId: 0,
        backup: false,
        initial: true,
        connected: true,
      });
      assert.ok(inode > 0 && cgroup > 0);
      // "data" went out, and the SYN counts as a byte that was acknowledged.
      assert.deepEqual(
        [stats!.at, stats!.state, stats!.bytesSent, stats!.bytesAcked],
        [7, 'established', 4, 5],
      );
      assert.deepEqual([stats!.backoff, stats!.totalRetransmits, stats!.notSent], [0, 0, 0]);
      assert.ok(stats!.rto >= 200 && stats!.rto < 10_000 && stats!.srtt > 0 && stats!.srtt < stats!.rto);
      assert.ok(stats!.mss > 500 && stats!.congestionWindow >= 10 && stats!.pacingRate > 0);
    });

    test(`Linux ${kernel}, ${family}: the connection by its token`, () => {
      const { view, length } = capturedAs(kernel, `answers-${family}`, 'connection');
      const { stats, token, local, remote, state } = connectionSocket(messageAt(view, 0, length), 7)!;
      assert.equal(token, both.client);
      assert.equal(state, 'established');
      assert.deepEqual(local, { ip: ends.client, port: PORTS.client });
      assert.deepEqual(remote, { ip: ends.server, port: PORTS.server });
      assert.equal(stats.subflows, 2);
      assert.equal(stats.fallback, false);
      assert.equal(stats.writeSeq, stats.sndUna);
      assert.ok(stats.writeSeq > 0 && stats.rcvNxt > 0);
      // Counters of bytes came with Linux 6.5.
      const bytes = kernel === '6.1' ? 0 : 4;
      assert.deepEqual([stats.bytesSent, stats.bytesAcked, stats.bytesReceived], [bytes, bytes, 0]);
    });

    test(`Linux ${kernel}, ${family}: all subflows of both ends, and no other socket`, () => {
      const found = captured(kernel, `answers-${family}`)
        .filter(({ name }) => name === 'subflows')
        .flatMap(({ view, length }) => [...messagesIn(view, length)])
        .filter((message) => message.type === 20)
        .map((message) => subflowSocket(message, 0))
        .filter((socket) => socket !== undefined)
        .map(({ token, local, remote, localId, remoteId, backup, initial, connected }) =>
          line({ token, local, remote, localId, remoteId, backup, initial, connected }, both),
        );
      const { client, server, second } = ends;
      assert.deepEqual(found.sort(), [
        `client, local ${client} 40001, remote ${server} 5001, localId 0, remoteId 0, backup false, initial true, connected true`,
        `client, local ${second} 40002, remote ${server} 5001, localId 3, remoteId 0, backup true, initial false, connected false`,
        `server, local ${server} 5001, remote ${client} 40001, localId 0, remoteId 0, backup false, initial true, connected false`,
        `server, local ${server} 5001, remote ${second} 40002, localId 0, remoteId 3, backup true, initial false, connected false`,
      ]);
    });
  }
}

function hex(view: DataView, length: number): string {
  return Buffer.from(view.buffer, view.byteOffset, length).toString('hex');
}

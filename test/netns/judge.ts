/**
 * Runs in a namespace of a test: judges each of its MPTCP connections by policies of one app each, and
 * prints what came of it.  judge.js client|server '[MATCH, ...]'
 */
import { socketsOf } from '../../agent/apps/sockets.ts';
import { Apps } from '../../agent/apps.ts';
import type { Side } from '../../agent/model.ts';
import { loadAddon } from '../../agent/netlink/addon.ts';
import { SocketDiag } from '../../agent/netlink/sock-diag.ts';
import { chooser } from '../../agent/policy/choose.ts';
import { parsePolicy } from '../../agent/policy.ts';
import { controllers } from '../../controllers/all.ts';

export interface Judgement {
  readonly clientPort: number;
  /** By the index of the match. */
  readonly matched: readonly boolean[];
  readonly why: readonly string[];
}

const [side, matches] = process.argv.slice(2) as [Side, string];
const diag = new SocketDiag(loadAddon());
const apps = new Apps({
  now: () => performance.now(),
  ...socketsOf(diag),
  process: () => undefined,
});

const choosers = [];
for (const match of JSON.parse(matches)) {
  const policy = { apps: [{ name: 'app', match, controller: 'single' }] };
  const parsed = await parsePolicy(JSON.stringify(policy), JSON.stringify(match), { controllers, uid: 0 });
  choosers.push(chooser(parsed, (facts) => apps.identify(facts)));
}

const judgements: Judgement[] = [];
for await (const connections of diag.connectionChunks(() => 0)) {
  for (const { token, local, remote } of connections) {
    const choices = choosers.map((choose) => choose({ token, side, local, remote }));
    judgements.push({
      clientPort: side === 'client' ? local.port : remote.port,
      matched: choices.map(({ app }) => app === 'app'),
      why: choices.map(({ why }) => why),
    });
  }
}
console.log(JSON.stringify(judgements));

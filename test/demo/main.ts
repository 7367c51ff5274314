/**
 * `sudo npm run demo`: the phone story (story.ts), drawn live; then its figures, and an SVG of the transfer.
 *   demo [--json] [--quick] [--svg FILE]
 * Exits with 1 when the transfer did not complete as it should.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { release } from 'node:os';
import { dirname } from 'node:path';
import { parseArgs } from 'node:util';
import { chart } from './chart.ts';
import { measure, type Recording, type Result } from './recording.ts';
import { Screen } from './screen.ts';
import { LINKS, play, type Story } from './story.ts';

const WHOLE: Story = {
  size: 24_000_000,
  bad: 7000,
  good: 17_000,
  loss: 40,
  wifi: '8mbit',
  lte: '6mbit',
  params: {},
  patience: 120_000,
};

/** The same in a third of the time, for tests: probes come faster too. */
const QUICK: Story = {
  ...WHOLE,
  size: 11_000_000,
  bad: 1500,
  good: 5500,
  loss: 60,
  wifi: '12mbit',
  lte: '8mbit',
  params: { probeEvery: '200ms', probes: 2 },
  patience: 60_000,
};

/** Without the packager's suffix. */
const KERNEL = /^[\d.]+/.exec(release())?.[0] ?? release();

const { values } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    quick: { type: 'boolean', default: false },
    svg: { type: 'string', default: 'test/results/demo.svg' },
  },
});

const story = values.quick ? QUICK : WHOLE;
// With --json the standard output is for the machine: people look at the other one.
const screen = new Screen(
  values.json ? process.stderr : process.stdout,
  LINKS,
  story.size,
  process.env['NO_COLOR'] === undefined,
);
screen.say(
  `A phone uploads ${story.size / 1e6} MB over Multipath TCP: Wi-Fi (${rate(story.wifi)}) is its primary link, LTE (${rate(story.lte)}) its backup.`,
);
try {
  const recording = await play(story, screen);
  screen.end();
  const result = measure(recording);
  mkdirSync(dirname(values.svg), { recursive: true });
  writeFileSync(values.svg, chart(recording, result, caption(story)));
  if (values.json) {
    console.log(JSON.stringify({ ...result, kernel: KERNEL, svg: values.svg, marks: recording.marks }));
  } else {
    screen.say(`\n${verdict(recording, result)}\nThe transfer as a picture: ${values.svg}`);
  }
  process.exitCode = result.completed && result.sha256_ok && result.returned_to_primary ? 0 : 1;
} catch (error) {
  screen.end();
  const { message } = error as Error;
  console.error(`demo: ${message}`);
  if (values.json) console.log(JSON.stringify({ completed: false, error: message }));
  process.exitCode = 1;
}

function rate(tc: string): string {
  return tc.replace('mbit', ' Mbit/s');
}

function caption({ wifi, lte, loss }: Story): string {
  return `Linux ${KERNEL}. Wi-Fi ${rate(wifi)}, losing ${loss} % each way while shaded; LTE ${rate(lte)}. smappd with the controller "backup". One run.`;
}

function verdict({ end }: Recording, result: Result): string {
  if (!end || !result.completed) return `The transfer did not complete within ${story.patience / 1000} s.`;
  return [
    `${(result.bytes / 1e6).toFixed(0)} MB in ${result.seconds} s, SHA-256 ${result.sha256_ok ? 'equal at both ends' : 'DIFFERENT'}.`,
    `Bytes on LTE before the Wi-Fi went bad: ${result.bytes_on_backup_before_failure}.`,
    `Wi-Fi bad to first byte over LTE: ${result.failover_ms} ms; longest time without progress: ${result.stall_ms_max} ms.`,
    result.returned_to_primary
      ? `Wi-Fi good again to first byte over it: ${result.return_ms} ms.`
      : 'The transfer did not return to Wi-Fi.',
  ].join('\n');
}

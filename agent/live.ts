/** Shows the view of a daemon on a terminal, once a second, until told to stop: what `npm start` shows. */
import type { Clock } from './clock.ts';
import type { Daemon } from './control/daemon.ts';
import type { Millis } from './model.ts';
import { View } from './view.ts';

export interface TerminalScreen {
  write(text: string): void;
  readonly columns: number;
  readonly rows: number;
  readonly colours: boolean;
}

const PERIOD: Millis = 1000;
/** More do not fit on any screen, and each is read from the kernel. */
const CONNECTIONS = 50;

/** The alternate screen without a cursor; what was on the terminal comes back afterwards. */
export const ENTER = '\u001b[?1049h\u001b[?25l';
export const LEAVE = '\u001b[?25h\u001b[?1049l';

/** Lines as one update of the alternate screen, without flicker. */
export function frame(lines: readonly string[]): string {
  return `\u001b[H${lines.map((line) => `${line}\u001b[K`).join('\r\n')}\u001b[J`;
}

/** Returns what ends it and gives the terminal back. */
export function showLive(daemon: Daemon, screen: TerminalScreen, clock: Clock): () => void {
  const view = new View();
  const unobserve = daemon.observe((notice) => view.notice(notice));
  let cancel = (): void => {};
  const draw = (): void => {
    const tokens = [...daemon.tokens()].slice(0, CONNECTIONS);
    const connections = tokens.flatMap((token) => daemon.connection(token, true) ?? []);
    view.reading(clock.now(), daemon.status(), connections);
    screen.write(frame(view.lines({ columns: screen.columns, rows: screen.rows, colour: screen.colours })));
    cancel = clock.after(PERIOD, draw);
  };
  screen.write(ENTER);
  draw();
  return () => {
    cancel();
    unobserve();
    screen.write(LEAVE);
  };
}

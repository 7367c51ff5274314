/** The captured messages, for tests. */
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

export const KERNELS = ['6.1', '6.12', '6.18'] as const;
export type Kernel = (typeof KERNELS)[number];

export interface Captured {
  readonly name: string;
  readonly view: DataView;
  readonly length: number;
}

const folder = (kernel: Kernel): string =>
  fileURLToPath(new URL(`../../../test/captures/${kernel}/`, import.meta.url));

export function captured(kernel: Kernel, file: string): Captured[] {
  return readFileSync(`${folder(kernel)}${file}.hex`, 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => {
      const [name, hex] = line.split(' ') as [string, string];
      const bytes = new Uint8Array(Buffer.from(hex, 'hex'));
      return { name, view: new DataView(bytes.buffer), length: bytes.length };
    });
}

/** The one message of that name. */
export function capturedAs(kernel: Kernel, file: string, name: string): Captured {
  const found = captured(kernel, file).find((message) => message.name === name);
  if (found === undefined) throw new Error(`no ${name} in ${kernel}/${file}.hex`);
  return found;
}

export function files(kernel: Kernel): string[] {
  return readdirSync(folder(kernel)).map((file) => file.replace('.hex', ''));
}

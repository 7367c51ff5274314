/** Splits a byte stream into lines of bounded length, for both ends of the control socket. */

/** Feeds chunks in; calls `line` for each full line (without its end), or `tooLong` once, after which it is deaf. */
export function lineReader(limit: number, line: (text: string) => void, tooLong: () => void) {
  let held: Buffer[] = [];
  let heldBytes = 0;
  let deaf = false;
  return (chunk: Buffer): void => {
    let rest = chunk;
    while (!deaf) {
      const end = rest.indexOf(0x0a);
      const part = end < 0 ? rest : rest.subarray(0, end);
      heldBytes += part.length;
      if (heldBytes > limit) {
        deaf = true;
        held = [];
        tooLong();
        return;
      }
      held.push(part);
      if (end < 0) return;
      const text = Buffer.concat(held).toString('utf8').trim();
      held = [];
      heldBytes = 0;
      rest = rest.subarray(end + 1);
      if (text !== '') line(text);
    }
  };
}

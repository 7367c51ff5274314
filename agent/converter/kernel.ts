/** Whether the converter's kernel module (native/kmod) is there, and what it takes over of the data path. */
import { closeSync, openSync } from 'node:fs';
import type { ConverterPolicy } from './section.ts';

const DEVICE = '/dev/smapp_convert';

/** Opening the device is the whole test: it needs the module to be loaded and CAP_NET_ADMIN. */
export function kernelDatapath(device = DEVICE): boolean {
  try {
    closeSync(openSync(device, 'r+'));
    return true;
  } catch {
    return false;
  }
}

/** Whether the module is to move the bytes. Throws when the policy insists on it and it is not there. */
export function useKernel({ datapath }: ConverterPolicy, there = kernelDatapath()): boolean {
  if (datapath === 'kernel' && !there) {
    throw new Error(
      `converter.datapath is "kernel", but ${DEVICE} cannot be opened: run smappctl converter kernel install, ` +
        'or set it to "auto"',
    );
  }
  return datapath !== 'user' && there;
}

/**
 * Whether the module listens at transparent doors itself (native/converter/kernel.h): not when there are rules of
 * access, which it does not know. It then holds SYNs itself, too.
 */
export function kernelListens({ sources, deny, perSource }: ConverterPolicy): boolean {
  return sources.length === 0 && deny.length === 0 && perSource === 0;
}

/** The controllers that come with the agent. A new one is one file and one line here. */
import backup from './backup.ts';
import type { Controller } from './controller.ts';
import ecmp from './ecmp.ts';
import fullmesh from './fullmesh.ts';
import longLived from './long-lived.ts';
import ndiffports from './ndiffports.ts';
import serverLimit from './server-limit.ts';
import single from './single.ts';
import streaming from './streaming.ts';

export const controllers: readonly Controller[] = [
  backup,
  ecmp,
  fullmesh,
  longLived,
  ndiffports,
  serverLimit,
  single,
  streaming,
];

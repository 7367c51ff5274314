/** Which application a connection belongs to, and which controller it therefore gets. */
import type { Controller } from '../controllers/controller.ts';
import type { Address, Side, Token } from './model.ts';

/** What is known of a connection when its controller is chosen: the ends of its first subflow. */
export interface ConnectionFacts {
  readonly token: Token;
  readonly side: Side;
  readonly local: Address;
  readonly remote: Address;
}

export interface Choice {
  /** The application's name in the policy; empty for the default. */
  readonly app: string;
  readonly controller: Controller;
  /** Parsed parameters, one for each of the controller's. */
  readonly params: Readonly<Record<string, unknown>>;
  /** One sentence that names the rule and what matched. */
  readonly why: string;
}

export type Choose = (facts: ConnectionFacts) => Choice;

/** What the lab keeps in a result's `detail`, for figures. */

/** Everything measured for one variant under one case; `missing` counts what never came to an end. */
export interface Samples {
  readonly variant: string;
  readonly case: string;
  readonly metric: string;
  readonly unit: string;
  readonly values: readonly number[];
  readonly missing: number;
}

/** What left by which interface in one run: seconds since the connection, interface, bytes from the first on. */
export interface Trace {
  readonly variant: string;
  readonly case: string;
  readonly points: readonly (readonly [at: number, device: string, sequence: number])[];
}

export interface LabDetail {
  readonly samples: readonly Samples[];
  readonly traces: readonly Trace[];
}

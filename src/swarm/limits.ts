/** What holds in every swarm; the simulator checks it. */

/** Pieces on their way to a consumer at once, where it is alone or far away; and in line for it behind those. */
export const WINDOW_MAX = 8
export const LINE_MAX = 4
/** Assignments per consumer, late ones and those that take little of its link included, in windows. Its window may have been larger. */
export const OUTSTANDING_MAX = 2
/** A piece that has been on its way for no longer than this has its slot. */
export const SLOT_MIN_MS = 125

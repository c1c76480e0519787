import type { Policy } from './policy.ts'
import { randomMesh } from './random-mesh.ts'
import { rarestFirst, sampling } from './rarest-first.ts'
import { v1Rule } from './v1-rule.ts'

/** A policy with the limits that it was made for; null leaves them as they are. */
export type PolicyPlan = {
  readonly about: string
  create(): Policy
  readonly limits: {
    readonly window: number
    readonly uploadSlots: number
    readonly seedSlots: number | null
  } | null
}

/** Every policy by its name, the one that ships first. */
export const POLICIES: Readonly<Record<string, PolicyPlan>> = {
  'rarest-first': {
    about: 'ships: the rarest class of pieces first',
    create: () => rarestFirst,
    limits: null,
  },
  'in-order': {
    about: 'the same sources, the first missing piece',
    create: () => sampling((pieces, candidates) => pieces.firstOf(candidates)),
    limits: null,
  },
  random: {
    about: 'the same sources, any missing piece',
    create: () => sampling((pieces, candidates) => pieces.anyOf(candidates)),
    limits: null,
  },
  mesh: {
    about: 'BitTorrent-like: random neighbours, rarest among them',
    create: randomMesh,
    limits: { window: 4, uploadSlots: 4, seedSlots: null },
  },
  v1: {
    about: 'the rule of Dragonfly 1.x with its limits',
    create: () => v1Rule,
    limits: { window: 4, uploadSlots: 5, seedSlots: 4 },
  },
}

import { DragonflyError } from './error.ts'
import { formatHostPort, type HostPort, parseHostPort } from './host-port.ts'
import type { Random } from './random.ts'

/** A supernode as the user names it. Null stands for a weight that was not said. */
export type WeightedNode = { readonly address: HostPort; readonly weight: number | null }

const WEIGHT_MAX = 1_000_000

/**
 * Parses `host[:port][=weight]`, IPv6 in brackets; a weight is a natural number, and 0 keeps the node from being used.
 * @throws DragonflyError USAGE
 */
export function parseWeightedNode(text: string, defaultPort: number): WeightedNode {
  const [address, weight, ...surplus] = text.split('=')
  const isWeight = weight === undefined || (/^\d{1,7}$/.test(weight.trim()) && Number(weight) <= WEIGHT_MAX)
  if (!isWeight || surplus.length > 0) {
    throw new DragonflyError(
      'USAGE',
      `"${text}" is not a supernode; write it like host:8002 or host:8002=weight, with a weight up to ${WEIGHT_MAX}`,
    )
  }
  return {
    address: parseHostPort(address, defaultPort),
    weight: weight === undefined ? null : Number(weight),
  }
}

export function formatWeightedNode({ address, weight }: WeightedNode): string {
  return weight === null ? formatHostPort(address) : `${formatHostPort(address)}=${weight}`
}

/**
 * The order in which to try nodes. Without weights it is the given one. With weights it is drawn: each next node is one of those left,
 * as likely as its share of their weights; one that says no weight has weight 1 (Efraimidis and Spirakis, "Weighted random sampling
 * with a reservoir", 2006).
 */
export function orderNodes(nodes: readonly WeightedNode[], random: Random): HostPort[] {
  const used = nodes.filter(({ weight }) => weight !== 0)
  if (used.every(({ weight }) => weight === null)) return used.map(({ address }) => address)
  return used
    .map(({ address, weight }) => ({ address, due: -Math.log(1 - random.next()) / (weight ?? 1) }))
    .sort((a, b) => a.due - b.due)
    .map(({ address }) => address)
}

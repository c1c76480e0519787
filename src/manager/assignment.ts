import type { HostPlace, LocateAnswer, SupernodeView } from '../wire/manager-api.ts'

/** A supernode whose lease has not run out. */
export type AssignableSupernode = Pick<SupernodeView, 'id' | 'control' | 'place' | 'load'> & {
  readonly isDraining: boolean
}

type Group = LocateAnswer['groups'][number]
type Nearness = Group['nearness']

/**
 * The supernodes that serve a host, in groups of equals, the nearest first. Those that send at nine tenths of their upload limit or more make a
 * group of their own behind the others that are as near. Supernodes that drain are in no group; groups without any are left out.
 *
 * The security domain is a wall. A host whose domain is not known is on the same side only as supernodes whose domain is not known either:
 * were it let in everywhere, a host that the armory lacks would be in every domain; were such supernodes open to all domains, content would
 * leave them. Where no domains are in use, all are on one side. An open wall adds those behind it at the end, however near they are.
 */
export function assign(
  place: HostPlace,
  supernodes: readonly AssignableSupernode[],
  { isWallOpen }: { readonly isWallOpen: boolean },
): Group[] {
  const candidates = supernodes
    .filter(({ isDraining }) => !isDraining)
    .map(supernode => ({ supernode, nearness: nearnessOf(place, supernode.place) }))
    .filter(({ nearness }) => isWallOpen || nearness !== 'elsewhere')
    .sort((a, b) => (a.supernode.id < b.supernode.id ? -1 : 1))
  return NEARNESSES.flatMap(nearness => {
    const near = candidates
      .filter(candidate => candidate.nearness === nearness)
      .map(({ supernode }) => supernode)
    const free = near.filter(supernode => !isOverloaded(supernode))
    const overloaded = near.filter(isOverloaded)
    return [free, overloaded]
      .filter(group => group.length > 0)
      .map(group => ({ nearness, supernodes: group.map(({ id, control }) => ({ id, control })) }))
  })
}

/** What is not known is not the same as anything. */
function nearnessOf(host: HostPlace, supernode: HostPlace): Nearness {
  if (host.securityDomain !== supernode.securityDomain) return 'elsewhere'
  if (host.idc !== null && host.idc === supernode.idc) return 'idc'
  if (host.location !== null && host.location === supernode.location) return 'location'
  return 'domain'
}

function isOverloaded({ load }: AssignableSupernode): boolean {
  return load.uploadLimit !== null && load.sentBytesPerSecond >= OVERLOADED_SHARE * load.uploadLimit
}

const NEARNESSES: readonly Nearness[] = ['idc', 'location', 'domain', 'elsewhere']
const OVERLOADED_SHARE = 0.9

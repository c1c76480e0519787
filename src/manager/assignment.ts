import {
  type HostPlace,
  LOCATED_SUPERNODES_MAX,
  type LocateAnswer,
  type SupernodeView,
} from '../wire/manager-api.ts'

/** A supernode that takes something new. */
export type AssignableSupernode = Pick<SupernodeView, 'id' | 'control' | 'place' | 'load'>

type Group = LocateAnswer['groups'][number]
type Nearness = Group['nearness']

/**
 * The supernodes that serve a host, in groups of equals, the nearest first. Those that send at nine tenths of their upload limit or more make a
 * group of their own behind the others that are as near. Groups without any are left out. There are no more than a client takes: the farthest
 * are left out, and of equals those with the greater ids, so that all clients of a place are told of the same.
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
    .map(supernode => ({ supernode, nearness: nearnessOf(place, supernode.place) }))
    .filter(({ nearness }) => isWallOpen || nearness !== 'elsewhere')
    .sort((a, b) => (a.supernode.id < b.supernode.id ? -1 : 1))
  let room = LOCATED_SUPERNODES_MAX
  return NEARNESSES.flatMap(nearness => {
    const near = candidates
      .filter(candidate => candidate.nearness === nearness)
      .map(({ supernode }) => supernode)
    const free = near.filter(supernode => !isOverloaded(supernode))
    const overloaded = near.filter(isOverloaded)
    return [free, overloaded].flatMap(group => {
      const told = group.slice(0, room)
      room -= told.length
      return told.length === 0
        ? []
        : [{ nearness, supernodes: told.map(({ id, control }) => ({ id, control })) }]
    })
  })
}

/** Two hosts whose IDC is not known are not for that reason in the same one; nor with the location. */
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

import type { HostPlace } from '../../wire/manager-api.ts'

/** Where hosts are. The answer of every armory comes from its last good state, so that `where` does not reject. */
export type Armory = {
  where(host: ArmoryHost): Promise<Whereabouts>
  close(): void
}

export type ArmoryHost = {
  /** Empty where it is not known. */
  readonly hostName: string
  /** As text, the one that says most first; what is no address is passed over. */
  readonly addresses: readonly string[]
}

/** `isKnown` is false where the armory has nothing about the host, so that the default place stands here. */
export type Whereabouts = { readonly place: HostPlace; readonly isKnown: boolean }

/** The default place unless the operator sets another: outside of every security domain, near to nobody. */
export const NOWHERE: HostPlace = { securityDomain: null, idc: null, location: null, rack: null }

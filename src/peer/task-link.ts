import type { ErrorCode } from '../core/error.ts'
import type { HostPort } from '../core/host-port.ts'
import type { PieceFrom, SourceId } from '../transfer/events.ts'
import type { PeerMessage, SupernodeMessages } from '../wire/control.ts'

/** What a download sees of its supernode: a way to speak, and what is said to it. The supernode's numbers for hosts stay behind it. */
export type TaskLink = {
  /** Dropped silently while there is no channel: what matters is said again by the next announce. */
  send(message: PeerMessage): void
  /** The supernode's numbers for a source on the present channel, more than one if it came back; none if it was never named. */
  numbersOf(source: SourceId): readonly number[]
  addressOf(source: SourceId): HostPort | null
  /** The supernode whose channel is in use; absent or null where there is none. */
  readonly node?: HostPort | null
  /** Leaves the task and ends the link. */
  close(): void
}

export type TaskLinkHandler = {
  /** A channel is there, for the first time or again: announce. */
  onReady(seed: SourceId): void
  onLost(): void
  /** None of the supernodes could be reached. The link goes on trying. */
  onUnavailable(): void
  onLayout(message: SupernodeMessages['layout']): void
  onDigests(message: SupernodeMessages['digests']): void
  onAssigned(pieces: PieceFrom[]): void
  onRevoked(pieces: PieceFrom[]): void
  onStatus(message: SupernodeMessages['status']): void
  onError(code: ErrorCode, message: string): void
}

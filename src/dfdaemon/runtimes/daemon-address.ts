import { DragonflyError } from '../../core/error.ts'

/** Where runtimes reach dfdaemon. */
export type DaemonAddress = {
  /** `http://host:port`, the port always said. */
  readonly url: string
  /** `host:port` */
  readonly authority: string
  readonly usesTls: boolean
}

/** @throws DragonflyError USAGE */
export function parseDaemonAddress(text: string): DaemonAddress {
  const url = URL.parse(text)
  const isBare =
    url !== null && `${url.pathname}${url.search}${url.hash}${url.username}${url.password}` === '/'
  if (!isBare || !['http:', 'https:'].includes(url.protocol)) {
    throw new DragonflyError('USAGE', 'the daemon is written like http://127.0.0.1:65001')
  }
  const usesTls = url.protocol === 'https:'
  const authority = `${url.hostname}:${url.port || (usesTls ? 443 : 80)}`
  return { url: `${url.protocol}//${authority}`, authority, usesTls }
}

/** Whether a runtime's own spelling of a mirror's URL means this daemon. */
export function isSameDaemon(written: string, daemon: DaemonAddress): boolean {
  try {
    return parseDaemonAddress(written).url === daemon.url
  } catch {
    return false
  }
}

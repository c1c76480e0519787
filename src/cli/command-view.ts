import type { HostPort } from '../core/host-port.ts'
import { systemClock } from '../ops/system-clock.ts'
import type { Home } from '../peer/home.ts'
import type { DfgetSettings } from './dfget-settings.ts'
import { STDOUT } from './download-target.ts'
import { reportedView } from './human-report.ts'
import { managerAddress, ownAddressTowards } from './own-address.ts'
import { barView, type ProgressView, plainView, silentView } from './progress.ts'

type Shown = {
  readonly url: string
  readonly output: string
  readonly home: Home
  readonly nodes: readonly HostPort[]
  readonly managers: readonly string[] | null
}

/** What the person at the terminal sees of one download. */
export function viewOf(settings: DfgetSettings, shown: Shown): ProgressView {
  const { url, output, home, nodes, managers } = shown
  const { json, quiet, showBar } = settings
  // Standard output holds one line of JSON, the content, or nothing; a bar that was asked for all the same goes elsewhere.
  const isReserved = json || quiet || output === STDOUT
  const { stdout, stderr } = process
  const write = (text: string) => (isReserved ? stderr : stdout).write(text)
  const wantsBar = showBar || (stdout.isTTY === true && !isReserved)
  if (isReserved && !wantsBar) return silentView
  const view = wantsBar ? barView(write, () => stdout.columns ?? 120) : plainView(write, systemClock.now)
  if (isReserved) return view
  let client = settings.ip ?? ''
  const towards = nodes[0] ?? (managers?.[0] === undefined ? null : managerAddress(managers[0]))
  if (client === '' && towards !== null) {
    void ownAddressTowards(towards).then(address => {
      client = address
    })
  }
  return reportedView(view, write, {
    url,
    filter: settings.filter,
    output,
    workspace: home.root,
    sign: `${process.pid}-${(systemClock.wallNow() / 1000).toFixed(3)}`,
    hasNodes: nodes.length > 0 || managers !== null,
    client: () => client,
    now: systemClock.now,
    wallNow: systemClock.wallNow,
  })
}

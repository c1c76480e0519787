import { VERSION } from '../ops/version.ts'

/** Put in by the build; not there where the sources run as they are. */
declare const BUILD_COMMIT: string | undefined
declare const BUILD_DATE: string | undefined

/** What `dfget version` and `dfdaemon version` say. */
export function versionLines(command: string): string {
  const commit = typeof BUILD_COMMIT === 'string' ? BUILD_COMMIT : 'unknown'
  const date = typeof BUILD_DATE === 'string' ? BUILD_DATE : 'unknown'
  const arch = { x64: 'amd64', ia32: '386' }[process.arch as string] ?? process.arch
  return [
    `${command} version  ${VERSION}`,
    `  Git commit:     ${commit}`,
    `  Build date:     ${date}`,
    `  Node version:   ${process.version}`,
    `  OS/Arch:        ${process.platform}/${arch}`,
    '',
  ].join('\n')
}

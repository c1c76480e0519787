import assert from 'node:assert/strict'
import fs from 'node:fs'
import { mkdtemp, realpath, rm } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import type { TestContext } from 'node:test'
import { setupCommand } from '../../src/cli/dfdaemon-setup.ts'
import { runCommand } from '../../src/cli/flags.ts'
import { DragonflyError } from '../../src/core/error.ts'

/** Where `dfdaemon setup` is tried: a directory in place of `/`, with the files of runtimes. */

type SetupOutcome = {
  readonly status: number
  readonly said: string
  readonly code: string | null
  readonly message: string
}

export class SetupRoot {
  readonly directory: string
  readonly #ends: (() => Promise<void>)[] = []

  constructor(directory: string) {
    this.directory = directory
  }

  /** What runs below the directory ends before that goes. */
  onEnd(end: () => Promise<void>): void {
    this.#ends.push(end)
  }

  async remove(): Promise<void> {
    for (const end of this.#ends) await end()
    await rm(this.directory, { recursive: true, force: true })
  }

  at(file: string): string {
    return path.join(this.directory, file)
  }

  put(file: string, text: string | Uint8Array): void {
    fs.mkdirSync(path.dirname(this.at(file)), { recursive: true })
    fs.writeFileSync(this.at(file), text)
  }

  text(file: string): string {
    return fs.readFileSync(this.at(file), 'utf8')
  }

  /** Every file and directory with what it holds, its mode, its owner, and when it was last changed if it is a file. */
  snapshot(): Record<string, unknown> {
    const names = fs.readdirSync(this.directory, { recursive: true, encoding: 'utf8' }).sort()
    return Object.fromEntries(
      names.map(name => {
        const { mode, uid, gid, mtimeMs, nlink } = fs.lstatSync(this.at(name))
        const isFile = fs.lstatSync(this.at(name)).isFile()
        const content = isFile ? [fs.readFileSync(this.at(name), 'latin1'), Math.round(mtimeMs), nlink] : []
        return [name, [mode, uid, gid, ...content]]
      }),
    )
  }

  async setup(runtime: string, ...flags: string[]): Promise<SetupOutcome> {
    let said = ''
    const command = setupCommand(text => {
      said += text
    })
    try {
      const status = await runCommand(command, ['node', 'setup', runtime, '--root', this.directory, ...flags])
      return { status, said, code: null, message: '' }
    } catch (thrown) {
      assert.ok(thrown instanceof DragonflyError, String(thrown))
      return { status: thrown.exitStatus, said, code: thrown.code, message: thrown.message }
    }
  }
}

export async function openSetupRoot(t: TestContext): Promise<SetupRoot> {
  const root = new SetupRoot(await realpath(await mkdtemp(path.join(os.tmpdir(), 'dragonfly-setup-'))))
  t.after(() => root.remove())
  return root
}

export const DAEMON_JSON = '/etc/docker/daemon.json'
export const CONFIG_TOML = '/etc/containerd/config.toml'
export const HOSTS_TOML = '/etc/containerd/certs.d/docker.io/hosts.toml'
export const DROP_IN = '/etc/containers/registries.conf.d/50-dragonfly.conf'
export const BACKUP = '.dragonfly-backup'

export const OWN_JSON =
  '{\n\t"log-driver": "journald",\n\t"registry-mirrors" : [ "https://mirror.example" ],\n\t"debug":true\n}'
export const OWN_TOML =
  '# kept\nversion = 2 # old\n\n[plugins]\n  [plugins."io.containerd.grpc.v1.cri"]\n    sandbox_image = "pause"\n'

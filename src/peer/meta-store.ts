import path from 'node:path'
import * as z from 'zod'
import { faultInLocated } from '../net/manager-answer.ts'
import { readJsonFile, writeJsonFile } from '../store/json-file.ts'
import { hostPlace, locateAnswer } from '../wire/manager-api.ts'

/**
 * What the managing node has said, in the home's `meta/`: `node.json` about this host, `managers.json`, and `supernodes.json`. Deleting any of them is safe
 * at any time; one that cannot be read, or is of another version, counts as absent until the next answer is written over it. No credential is in them.
 */

const META_VERSION = 1

const ofVersion = { version: z.literal(META_VERSION) }

const nodeFile = z.strictObject({
  ...ofVersion,
  hostName: z.string(),
  addresses: z.array(z.string()),
  ...hostPlace.shape,
  isKnown: z.boolean(),
  zone: locateAnswer.shape.zone,
})
const managersFile = z.strictObject({ ...ofVersion, managers: locateAnswer.shape.managers })
const supernodesFile = z.strictObject({
  ...ofVersion,
  /** Milliseconds since 1970. */
  askedAt: z.number(),
  refreshMs: locateAnswer.shape.refreshMs,
  groups: locateAnswer.shape.groups,
})

type NodeMeta = Omit<z.infer<typeof nodeFile>, 'version'>
export type SupernodesMeta = Omit<z.infer<typeof supernodesFile>, 'version'>

export type Meta = {
  readonly node: NodeMeta | null
  /** All that are known, those included that were named when the answer came. */
  readonly managers: readonly string[]
  readonly supernodes: SupernodesMeta | null
}

export class MetaStore {
  readonly #directory: string
  #writing: Promise<unknown> = Promise.resolve()

  constructor(homeRoot: string) {
    this.#directory = path.join(homeRoot, 'meta')
  }

  /** Reads anew each time: whoever deletes the files wants them forgotten, and a peer on another host may share the home. */
  async read(): Promise<Meta> {
    const [node, managers, supernodes] = await Promise.all([
      this.#read('node', nodeFile),
      this.#read('managers', managersFile),
      this.#read('supernodes', supernodesFile),
    ])
    const fault = faultInLocated({ groups: supernodes?.groups ?? [], managers: managers?.managers ?? [] })
    if (fault !== null) return { node, managers: [], supernodes: null }
    return { node, managers: managers?.managers ?? [], supernodes }
  }

  /** @throws DragonflyError DISK_FULL, DISK_ERROR */
  write({ node, managers, supernodes }: Meta): Promise<void> {
    const written = this.#writing.then(async () => {
      await this.#write('managers', { managers })
      if (node) await this.#write('node', node)
      if (supernodes) await this.#write('supernodes', supernodes)
    })
    this.#writing = written.catch(() => {})
    return written
  }

  async #read<T>(name: string, schema: z.ZodType<T>): Promise<T | null> {
    try {
      return schema.parse(await readJsonFile(this.#fileOf(name)))
    } catch {
      return null
    }
  }

  #write(name: string, content: object): Promise<void> {
    return writeJsonFile(this.#fileOf(name), { version: META_VERSION, ...content })
  }

  #fileOf(name: string): string {
    return path.join(this.#directory, `${name}.json`)
  }
}

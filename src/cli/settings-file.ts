import { readFile } from 'node:fs/promises'
import { parse as parseYaml } from 'yaml'
import * as z from 'zod'
import { DragonflyError, toDragonflyError } from '../core/error.ts'
import { nearestName } from './nearest-name.ts'

/** The YAML file of a server's settings: what `--config` names. It may hold secrets, so errors repeat nothing of it but names of keys. */

/** One of our parsers as a step of a schema. */
export function parsedBy<T>(
  parse: (text: string) => T,
): (written: number | string, context: z.RefinementCtx) => T {
  return (written, context) => {
    try {
      return parse(String(written))
    } catch (thrown) {
      context.addIssue({ code: 'custom', message: toDragonflyError(thrown).message })
      return z.NEVER
    }
  }
}

/** @throws DragonflyError CONFIG_INVALID, which names the nearest known key where one is unknown */
export async function readSettingsFile<Shape extends z.ZodRawShape>(
  file: string,
  schema: z.ZodObject<Shape>,
): Promise<z.infer<z.ZodObject<Shape>>> {
  const parsed = schema.safeParse(parsedYaml(file, await textOf(file)))
  if (parsed.success) return parsed.data
  const unknown = parsed.error.issues.flatMap(issue => (issue.code === 'unrecognized_keys' ? issue.keys : []))
  const known = Object.keys(schema.shape)
  const advice = unknown
    .map(key => `"${key}" is not known, did you mean "${nearestName(key, known)}"?`)
    .join(' ')
  throw new DragonflyError('CONFIG_INVALID', `${file}: ${advice || z.prettifyError(parsed.error)}`)
}

async function textOf(file: string): Promise<string> {
  return readFile(file, 'utf8').catch((cause: Error) => {
    throw new DragonflyError('CONFIG_INVALID', `${file} cannot be read: ${cause.message}`)
  })
}

function parsedYaml(file: string, text: string): unknown {
  try {
    // Its errors would show the line.
    return parseYaml(text, { prettyErrors: false }) ?? {}
  } catch (thrown) {
    const { code } = thrown as { code?: string }
    throw new DragonflyError('CONFIG_INVALID', `${file} cannot be read: it is not YAML (${code ?? 'ERROR'})`)
  }
}

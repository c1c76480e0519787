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
  return checkSettings(file, parsedYaml(file, await textOf(file)), schema)
}

/**
 * @param source how messages call it
 * @throws DragonflyError CONFIG_INVALID, which names the nearest known key where one is unknown
 */
export function checkSettings<Shape extends z.ZodRawShape>(
  source: string,
  written: unknown,
  schema: z.ZodObject<Shape>,
): z.infer<z.ZodObject<Shape>> {
  const parsed = schema.safeParse(written)
  if (parsed.success) return parsed.data
  const advice = parsed.error.issues
    .flatMap(issue => {
      if (issue.code !== 'unrecognized_keys') return []
      const known = keysAt(schema, issue.path)
      return issue.keys.map(key => `"${key}" is not known, did you mean "${nearestName(key, known)}"?`)
    })
    .join(' ')
  throw new DragonflyError('CONFIG_INVALID', `${source}: ${advice || z.prettifyError(parsed.error)}`)
}

/** The keys of the mapping at this place of the schema. */
function keysAt(schema: unknown, path: readonly PropertyKey[]): string[] {
  if (schema instanceof z.ZodOptional) return keysAt(schema.unwrap(), path)
  const [step, ...rest] = path
  if (schema instanceof z.ZodArray) return keysAt(schema.element, rest)
  const shape = (schema as z.ZodObject).shape as Record<PropertyKey, unknown>
  return step === undefined ? Object.keys(shape) : keysAt(shape[step], rest)
}

async function textOf(file: string): Promise<string> {
  return readFile(file, 'utf8').catch((cause: Error) => {
    throw new DragonflyError('CONFIG_INVALID', `${file} cannot be read: ${cause.message}`)
  })
}

/** A key without value is as if it were not there. */
function withoutNull(_key: unknown, value: unknown): unknown {
  return value ?? undefined
}

function parsedYaml(file: string, text: string): unknown {
  try {
    // Its errors would show the line.
    return parseYaml(text, withoutNull, { prettyErrors: false }) ?? {}
  } catch (thrown) {
    const { code } = thrown as { code?: string }
    throw new DragonflyError('CONFIG_INVALID', `${file} cannot be read: it is not YAML (${code ?? 'ERROR'})`)
  }
}

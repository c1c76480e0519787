import * as z from 'zod'
import { DragonflyError } from '../../core/error.ts'
import {
  type ArmoryEntry,
  armoryAdded,
  armoryAddition,
  armoryEntry,
  armoryPage,
  storedArmoryEntry,
} from '../../wire/manager-api.ts'
import type { Api } from '../api.ts'
import { problemOfEntry } from '../armory/place-table.ts'
import type { ManagerContext } from '../context.ts'
import { adminOnly } from '../guards.ts'
import { errorAnswers, nothing } from './answers.ts'

const shape = { tags: ['armory'], security: [{ admin: [] }] }
const number = z.coerce.number().int().min(0).max(Number.MAX_SAFE_INTEGER)
const entryPath = z.strictObject({ id: number })
const pageQuery = z.strictObject({ after: number.default(0) })

/** The armory's entries in the database; they count where the managing node runs with `--armory database`. */
export function addArmoryRoutes(api: Api, context: ManagerContext): void {
  addListRoute(api, context)
  const { armory, armoryEntries, log } = context
  const onRequest = adminOnly(context)
  api.post(
    '/armory/entries',
    {
      onRequest,
      schema: {
        ...shape,
        summary: 'Add entries, all of them or none',
        body: armoryAddition,
        response: { 201: armoryAdded, ...errorAnswers },
      },
    },
    async ({ body }, reply) => {
      for (const entry of body.entries) assertSensible(entry)
      const entries = await armoryEntries.add(body.entries)
      await armory.refresh()
      log.info({ count: entries.length }, 'armory entries added')
      return reply.status(201).send({ entries })
    },
  )
  api.put(
    '/armory/entries/:id',
    {
      onRequest,
      schema: {
        ...shape,
        summary: 'Replace an entry',
        params: entryPath,
        body: armoryEntry,
        response: { 200: storedArmoryEntry, ...errorAnswers },
      },
    },
    async ({ params: { id }, body }) => {
      assertSensible(body)
      const entry = await armoryEntries.replace(id, body)
      if (entry === null) throw unknown()
      await armory.refresh()
      log.info({ entry: id }, 'armory entry replaced')
      return entry
    },
  )
  api.delete(
    '/armory/entries/:id',
    {
      onRequest,
      schema: {
        ...shape,
        summary: 'Remove an entry',
        params: entryPath,
        response: { 204: nothing, ...errorAnswers },
      },
    },
    async ({ params: { id } }, reply) => {
      if (!(await armoryEntries.remove(id))) throw unknown()
      await armory.refresh()
      log.info({ entry: id }, 'armory entry removed')
      return reply.status(204).send(null)
    },
  )
}

function addListRoute(api: Api, context: ManagerContext): void {
  api.get(
    '/armory/entries',
    {
      onRequest: adminOnly(context),
      schema: {
        ...shape,
        summary: 'Entries by number, at most a thousand at a time',
        querystring: pageQuery,
        response: { 200: armoryPage, ...errorAnswers },
      },
    },
    ({ query }) => context.armoryEntries.page(query.after),
  )
}

function assertSensible(entry: ArmoryEntry): void {
  const problem = problemOfEntry(entry)
  if (problem !== null) throw new DragonflyError('REQUEST_INVALID', problem)
}

function unknown(): DragonflyError {
  return new DragonflyError('REQUEST_NOT_FOUND', 'there is no such entry')
}

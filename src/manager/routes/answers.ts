import * as z from 'zod'
import { apiError, joinRequest } from '../../wire/manager-api.ts'

/** Parts of the routes' schemas that several of them share. */

export const errorAnswers = { '4xx': apiError, '5xx': apiError }

/** A body that is none, of status 204. */
export const nothing = z.null().describe('nothing')

export const supernodePath = z.strictObject({ id: joinRequest.shape.supernodeId })

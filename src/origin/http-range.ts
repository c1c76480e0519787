import { assert } from '../core/assert.ts'
import { type ByteRange, formatRangeHeader, parseContentRange, parseRangeHeader } from '../core/byte-range.ts'
import { DragonflyError } from '../core/error.ts'
import type { Validator } from '../core/generation.ts'
import { isFieldValue } from '../wire/http-field.ts'
import type { ResponseHead } from '../wire/http1.ts'
import type { OriginHeaders, OriginRequest } from './origin.ts'

/** Which bytes to ask an origin for, and whether its 206 is an answer to that. */

export type RangePlan = {
  /** The caller's own `Range`: the task's content is this part of what the origin has. */
  readonly part: ByteRange | null
  /** First byte asked for, in the task's content. 0 where the request said more but nothing could prove that the content is the same. */
  readonly startByte: number
  /** In what the origin has; null asks without `Range`. */
  readonly asked: { readonly start: number; readonly end: number | null } | null
  readonly ifRange: string | null
}

/** @throws DragonflyError USAGE for a caller's `Range` that is not one first-last range */
export function planRange(request: OriginRequest): RangePlan {
  const { startByte: wantedStart, endByte } = request
  assert(wantedStart >= 0 && (endByte === null || wantedStart < endByte), 'the range is not empty')
  assert(!request.isRevalidation || wantedStart === 0, 'a revalidation starts at 0')
  const part = callerPart(request.headers)
  const ifRange = wantedStart > 0 ? strongValidator(request.validator) : null
  const startByte = ifRange === null ? 0 : wantedStart
  const base = part?.start ?? 0
  const start = base + startByte
  const end = endByte === null ? (part?.end ?? null) : Math.min(base + endByte, part?.end ?? Infinity)
  assert(end === null || start < end, 'the range lies in the part')
  const isWhole = start === 0 && end === null
  return { part, startByte, asked: isWhole ? null : { start, end }, ifRange }
}

/** The fields that say the plan. */
export function rangeHeaders(plan: RangePlan): OriginHeaders {
  if (plan.asked === null) return []
  const range = ['range', formatRangeHeader(plan.asked.start, plan.asked.end)] as const
  return plan.ifRange === null ? [range] : [range, ['if-range', plan.ifRange]]
}

/** @throws DragonflyError USAGE */
export function callerPart(headers: OriginHeaders): ByteRange | null {
  const values = headers.filter(([name]) => name.toLowerCase() === 'range').map(([, value]) => value.trim())
  if (values.length === 0) return null
  const part = values.length === 1 ? parseRangeHeader(values[0]) : null
  if (!part) throw new DragonflyError('USAGE', 'the Range header must be one range, like bytes=0-1023')
  return part
}

/**
 * The value for `If-Range`, which needs a strong comparison (RFC 9110, section 13.1.5): a strong entity tag, else the date. Null where
 * the origin gave neither.
 */
function strongValidator(validator: Validator | null): string | null {
  if (validator?.etag && /^"[^"]*"$/.test(validator.etag) && isFieldValue(validator.etag))
    return validator.etag
  if (validator?.lastModified && isFieldValue(validator.lastModified)) return validator.lastModified
  return null
}

type PartialContent = {
  /** Complete length of the task's content, where known. */
  readonly lengthBytes: number | null
  /** How many bytes must follow. */
  readonly bodyBytes: number
}

/**
 * Reads a 206 (RFC 9110, section 15.3.7).
 * @throws DragonflyError ORIGIN_PROTOCOL where it is not the range that was asked for
 */
export function readPartialContent(head: ResponseHead, plan: RangePlan, host: string): PartialContent {
  const refuse = (problem: string) => new DragonflyError('ORIGIN_PROTOCOL', `${host} answered 206 ${problem}`)
  if (plan.asked === null) throw refuse('though no range was asked for')
  const given = parseContentRange(head.headers.get('content-range') ?? '')
  if (!given) throw refuse('without a valid Content-Range')
  if (given.start !== plan.asked.start || given.end > (plan.asked.end ?? Infinity)) {
    throw refuse('with another range than the one asked for')
  }
  const contentLength = contentLengthOf(head)
  if (contentLength !== null && contentLength !== given.end - given.start) {
    throw refuse('with a Content-Range that contradicts its Content-Length')
  }
  return { lengthBytes: lengthOf(plan, given), bodyBytes: bodyBytesOf(plan, given) }
}

/** Null where the body is framed otherwise. That the value is a number was checked with the head. */
export function contentLengthOf(head: ResponseHead): number | null {
  const value = head.headers.get('content-length')
  if (value === undefined || head.headers.has('transfer-encoding')) return null
  return Number(value.split(',')[0])
}

type ContentRange = NonNullable<ReturnType<typeof parseContentRange>>

/** Of the task's content, given the length of what the origin has. */
function lengthOf({ part }: RangePlan, { completeLength, end }: ContentRange): number | null {
  if (part === null) return completeLength
  if (completeLength !== null) return Math.min(part.end, completeLength) - part.start
  return end === part.end ? part.end - part.start : null
}

/** An origin may send less than was asked for. The body then ends as truncated, and the caller asks again from there. */
function bodyBytesOf({ asked }: RangePlan, { start, end, completeLength }: ContentRange): number {
  if (completeLength === null) return end - start
  return Math.min(asked?.end ?? completeLength, completeLength) - start
}

/** Whether a 416 says that the complete length is 0. */
export function saysEmpty(head: ResponseHead): boolean {
  return /^bytes \*\/0$/.test(head.headers.get('content-range')?.trim() ?? '')
}

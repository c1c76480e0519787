import { redactUrl } from '../core/filter-url.ts'
import { writeTaskUrl } from '../core/task-url.ts'

/** A URL as it may be shown: without credentials and signatures, and without what the user filters, which may be a signature as well. */
export function shownUrl(url: string, filter: readonly string[]): string {
  return redactUrl(writeTaskUrl(url, { filter, trust: '' }))
}

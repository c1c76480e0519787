import { rename, rm, stat } from 'node:fs/promises'

/** Puts a log that has grown beyond its length aside as `<file>.1`, what was there as `.2`, and drops what is older than `backups` allows. */
export async function putLogAside(
  file: string,
  limits: { maxBytes: number; backups: number },
): Promise<void> {
  const size = (await stat(file).catch(() => null))?.size ?? 0
  if (size <= limits.maxBytes) return
  for (let number = limits.backups; number > 1; number--) {
    await rename(`${file}.${number - 1}`, `${file}.${number}`).catch(() => {})
  }
  if (limits.backups > 0) await rename(file, `${file}.1`)
  else await rm(file)
}

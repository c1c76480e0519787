/** The file system as this room uses it: positioned and whole, never through a symbolic link, failures translated. */

import fs from 'node:fs'
import fsp from 'node:fs/promises'
import path from 'node:path'
import { errnoOf, toDiskError } from './disk-error.ts'

const { O_CREAT, O_DIRECTORY, O_EXCL, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_RDWR } = fs.constants

/** For an existing file: a last path component that is a link fails with ELOOP, a pipe does not block. */
export const OPEN_TO_READ = O_RDONLY | O_NOFOLLOW | O_NONBLOCK
export const OPEN_TO_WRITE = O_RDWR | O_NOFOLLOW | O_NONBLOCK
/** For a file that must not be there yet, not even as a link. */
const OPEN_NEW = O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW

const FILE_MODE = 0o600
const DIRECTORY_MODE = 0o700

type Done<T> = (error: Error | null, value: T) => void

/** The callback API costs half of what a FileHandle does per call, so the paths of bytes use it. */
function call<T>(what: string, start: (done: Done<T>) => void): Promise<T> {
  return new Promise((resolve, reject) => {
    start((error, value) => (error ? reject(toDiskError(error, what)) : resolve(value)))
  })
}

export function openFile(filePath: string, flags: number): Promise<number> {
  return call<number>(`cannot open ${filePath}`, done => fs.open(filePath, flags, FILE_MODE, done))
}

/** A new file in place of whatever has its name, in a directory that is made where it is not there. */
export async function openNewFile(filePath: string): Promise<number> {
  for (let tries = 1; ; tries++) {
    try {
      return await openFile(filePath, OPEN_NEW)
    } catch (error) {
      if (tries > 2) throw error
      if (errnoOf(error) === 'EEXIST') await removeFile(filePath)
      else if (errnoOf(error) === 'ENOENT') await makeDirectory(path.dirname(filePath))
      else throw error
    }
  }
}

/** A failure to close is of no interest: whatever must last has been synced before. */
export function closeFile(descriptor: number): Promise<void> {
  return new Promise(resolve => fs.close(descriptor, () => resolve()))
}

/** One positioned read; fewer bytes than asked only at the end of the file, or where the kernel says so. */
export function readAt(descriptor: number, into: Uint8Array, position: number): Promise<number> {
  return call<number>('cannot read', done =>
    fs.read(descriptor, into, 0, into.byteLength, position, done as Done<number>),
  )
}

/** Reads until `into` is full or the file ends; returns the number of bytes. */
export async function readFully(descriptor: number, into: Uint8Array, position: number): Promise<number> {
  let filled = 0
  while (filled < into.byteLength) {
    const count = await readAt(descriptor, into.subarray(filled), position + filled)
    if (count === 0) break
    filled += count
  }
  return filled
}

/** One positioned write; the kernel takes less only where the disk fills up, and then the rest names the cause. */
export async function writeAll(descriptor: number, bytes: Uint8Array, position: number): Promise<void> {
  let written = 0
  while (written < bytes.byteLength) {
    const from = written
    written += await call<number>('cannot write', done =>
      fs.write(descriptor, bytes, from, bytes.byteLength - from, position + from, done as Done<number>),
    )
  }
}

export function syncData(descriptor: number): Promise<void> {
  return call<void>('cannot sync', done => fs.fdatasync(descriptor, done as fs.NoParamCallback))
}

export function truncateFile(descriptor: number, lengthBytes: number): Promise<void> {
  return call<void>('cannot set the length', done =>
    fs.ftruncate(descriptor, lengthBytes, done as fs.NoParamCallback),
  )
}

export function statDescriptor(descriptor: number): Promise<fs.BigIntStats> {
  return call<fs.BigIntStats>('cannot stat', done => fs.fstat(descriptor, { bigint: true }, done))
}

/** At once: it costs less than a turn of the thread pool, and an open file's attributes are in memory. */
export function statDescriptorNow(descriptor: number): fs.BigIntStats {
  return fs.fstatSync(descriptor, { bigint: true })
}

/** Of the name itself where it is a link; null where there is nothing. */
export async function statPath(filePath: string): Promise<fs.BigIntStats | null> {
  try {
    return await fsp.lstat(filePath, { bigint: true })
  } catch (cause) {
    if (errnoOf(cause) === 'ENOENT') return null
    throw toDiskError(cause, `cannot stat ${filePath}`)
  }
}

/** What this account may still write on the file system of the directory, which is made where it is not there. */
export async function freeBytesAt(directory: string): Promise<number> {
  for (let tries = 1; ; tries++) {
    try {
      const { bavail, bsize } = await fsp.statfs(directory)
      return bavail * bsize
    } catch (cause) {
      if (tries > 2 || errnoOf(cause) !== 'ENOENT') {
        throw toDiskError(cause, `cannot ask for the space at ${directory}`)
      }
      await makeDirectory(directory)
    }
  }
}

/** Takes the name away; other names of the file keep it. Nothing there is fine. */
export async function removeFile(filePath: string): Promise<void> {
  try {
    await fsp.unlink(filePath)
  } catch (cause) {
    if (errnoOf(cause) !== 'ENOENT') throw toDiskError(cause, `cannot remove ${filePath}`)
  }
}

export async function renameFile(from: string, to: string): Promise<void> {
  try {
    await fsp.rename(from, to)
  } catch (cause) {
    throw toDiskError(cause, `cannot rename ${from}`)
  }
}

export async function makeDirectory(directory: string): Promise<void> {
  try {
    await fsp.mkdir(directory, { recursive: true, mode: DIRECTORY_MODE })
  } catch (cause) {
    throw toDiskError(cause, `cannot create the directory ${directory}`)
  }
}

/** Makes names that were created or renamed last, in the directories of these files. */
export async function syncDirectories(filePaths: readonly string[]): Promise<void> {
  const directories = new Set(filePaths.map(filePath => path.dirname(filePath)))
  await Promise.all([...directories].map(syncDirectory))
}

async function syncDirectory(directory: string): Promise<void> {
  const descriptor = await openFile(directory, O_RDONLY | O_DIRECTORY)
  try {
    await call<void>(`cannot sync ${directory}`, done => fs.fsync(descriptor, done as fs.NoParamCallback))
  } finally {
    await closeFile(descriptor)
  }
}

/** Names in the directory; none where it does not exist. */
export async function listDirectory(directory: string): Promise<string[]> {
  try {
    return await fsp.readdir(directory)
  } catch (cause) {
    if (errnoOf(cause) === 'ENOENT') return []
    throw toDiskError(cause, `cannot list ${directory}`)
  }
}

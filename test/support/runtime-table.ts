import type { Runtime } from './runtime-client.ts'
import { startContainerd } from './runtime-containerd.ts'
import { startDockerd } from './runtime-dockerd.ts'
import { podmanClient } from './runtime-podman.ts'
import { skopeoClient } from './runtime-skopeo.ts'

/** The container runtimes that pull through dfdaemon in the tests, and in what they differ. */

export const SKOPEO: Runtime = {
  name: 'skopeo',
  needsRoot: false,
  readsZstd: true,
  resumes: false,
  fallsBack: true,
  start: skopeoClient,
}

export const PODMAN: Runtime = {
  name: 'podman',
  needsRoot: true,
  readsZstd: true,
  resumes: false,
  fallsBack: true,
  start: podmanClient,
}

export const CONTAINERD: Runtime = {
  name: 'containerd',
  needsRoot: true,
  readsZstd: true,
  resumes: true,
  fallsBack: true,
  start: startContainerd,
}

export const DOCKERD: Runtime = {
  name: 'dockerd',
  needsRoot: true,
  // Debian's 20.10 gets such layers and cannot unpack them: "invalid tar header".
  readsZstd: false,
  resumes: true,
  fallsBack: false,
  start: startDockerd,
}

export const RUNTIMES: readonly Runtime[] = [SKOPEO, PODMAN, CONTAINERD, DOCKERD]

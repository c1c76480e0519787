import { podmanClient } from './support/runtime-podman.ts'
import { describeRuntime } from './support/runtime-suite.ts'

describeRuntime({
  name: 'podman',
  programs: ['podman'],
  needsRoot: true,
  readsZstd: true,
  resumes: false,
  fallsBack: true,
  start: podmanClient,
})

import { startContainerd } from './support/runtime-containerd.ts'
import { describeRuntime } from './support/runtime-suite.ts'

describeRuntime({
  name: 'containerd',
  programs: ['containerd'],
  needsRoot: true,
  readsZstd: true,
  resumes: true,
  fallsBack: true,
  start: startContainerd,
})

import { startDockerd } from './support/runtime-dockerd.ts'
import { describeRuntime } from './support/runtime-suite.ts'

describeRuntime({
  name: 'dockerd',
  programs: ['dockerd'],
  needsRoot: true,
  // Debian's 20.10 cannot; 23.0 can.
  readsZstd: false,
  resumes: true,
  fallsBack: false,
  start: startDockerd,
})

import { skopeoClient } from './support/runtime-skopeo.ts'
import { describeRuntime } from './support/runtime-suite.ts'

describeRuntime({
  name: 'skopeo',
  programs: ['skopeo'],
  needsRoot: false,
  readsZstd: true,
  resumes: false,
  fallsBack: true,
  start: skopeoClient,
})

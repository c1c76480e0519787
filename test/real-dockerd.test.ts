import { describeRuntime } from './support/runtime-suite.ts'
import { DOCKERD } from './support/runtime-table.ts'

describeRuntime(DOCKERD)

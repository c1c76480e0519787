import { describeRuntime } from './support/runtime-suite.ts'
import { SKOPEO } from './support/runtime-table.ts'

describeRuntime(SKOPEO)

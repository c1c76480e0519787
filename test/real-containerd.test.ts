import { describeRuntime } from './support/runtime-suite.ts'
import { CONTAINERD } from './support/runtime-table.ts'

describeRuntime(CONTAINERD)

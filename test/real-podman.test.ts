import { describeRuntime } from './support/runtime-suite.ts'
import { PODMAN } from './support/runtime-table.ts'

describeRuntime(PODMAN)

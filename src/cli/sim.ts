import { open, writeFile } from 'node:fs/promises'
import { Command } from 'commander'
import { drawPicture } from '../../sim/picture.ts'
import { RecordingReader } from '../../sim/recording.ts'
import { planReplay } from '../../sim/replay.ts'
import { type Simulated, simulate } from '../../sim/result.ts'
import { comparePolicies, describeSimulation } from '../../sim/summary.ts'
import { DragonflyError } from '../core/error.ts'
import { systemClock } from '../ops/system-clock.ts'
import { addSimFlags, checkReplayFlags, compileScenario, latencyOf, type SimFlags } from './sim-flags.ts'

/** dragonfly sim: how long a distribution takes, before it is done. */

export function simCommand(): Command {
  return addSimFlags(new Command('sim'))
    .description('simulates a distribution with the scheduler and the peers that ship')
    .action(run)
}

async function run(flags: SimFlags): Promise<void> {
  if (flags.replay !== undefined) return replay(flags, flags.replay)
  const scenario = compileScenario(flags)
  const startedAt = systemClock.now()
  const simulated = flags.policy.map(policy => simulate({ ...scenario, policy }))
  if (flags.svg !== undefined) await writePicture(flags.svg, simulated[0])
  if (flags.json) return printJson(simulated)
  process.stdout.write(describeSimulation(simulated[0], scenario))
  if (simulated.length > 1) {
    process.stdout.write(`\n${comparePolicies(simulated.map(({ result }) => result))}`)
  }
  tellWallTime(startedAt)
}

async function replay(flags: SimFlags, file: string): Promise<void> {
  checkReplayFlags(flags)
  const reader = await readRecording(file)
  const { seed, streaming } = flags
  const { recorded, scenario, run } = planReplay(reader.largest(), {
    ...latencyOf(flags),
    ...(seed === undefined ? {} : { seed }),
    ...(streaming === undefined ? {} : { isStreaming: streaming }),
  })
  const startedAt = systemClock.now()
  const simulated = flags.policy.map(run)
  if (flags.svg !== undefined) await writePicture(flags.svg, simulated[0])
  const results = simulated.map(({ result }) => result)
  if (flags.json) {
    process.stdout.write(`${JSON.stringify({ recorded, results })}\n`)
    return
  }
  const others = reader.swarms.length - 1
  process.stdout.write(
    `task ${recorded.taskId.slice(0, 12)}…${others > 0 ? `, the largest of ${others + 1} in the recording` : ''}\n\n`,
  )
  process.stdout.write(`${describeSimulation(simulated[0], scenario)}\n${comparePolicies(results, recorded)}`)
  tellWallTime(startedAt)
}

function tellWallTime(startedAt: number): void {
  process.stderr.write(`simulated in ${((systemClock.now() - startedAt) / 1000).toFixed(1)} s\n`)
}

async function readRecording(file: string): Promise<RecordingReader> {
  const reader = new RecordingReader()
  try {
    const handle = await open(file)
    for await (const line of handle.readLines()) reader.add(line)
  } catch (cause) {
    if (cause instanceof DragonflyError) throw cause
    throw new DragonflyError('USAGE', `${file} cannot be read: ${(cause as Error).message}`, { cause })
  }
  return reader
}

/** The same line for the same flags: one object, or with several policies a list of them under `results`. */
function printJson(simulated: readonly Simulated[]): void {
  const results = simulated.map(({ result }) => result)
  process.stdout.write(`${JSON.stringify(results.length === 1 ? results[0] : { results })}\n`)
}

async function writePicture(file: string, { samples, result }: Simulated): Promise<void> {
  try {
    await writeFile(file, drawPicture(samples, result))
  } catch (cause) {
    throw new DragonflyError('OUTPUT_INVALID', `${file} cannot be written: ${(cause as Error).message}`, {
      cause,
    })
  }
}

import { publish } from '../../src/cli/publish.ts'

/** Puts each of some files in the place of the same output, over and over, until it is killed: `publish-loop.ts <output> <file> …`. */
const [output, ...files] = process.argv.slice(2)
for (let round = 0; ; round++) {
  await publish(files[round % files.length], output)
  if (round === 0) process.stdout.write('ready\n')
}

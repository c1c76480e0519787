import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { test } from 'node:test'
import { Command } from 'commander'
import { completionScript } from './completion.ts'
import { addSettingFlags } from './dfget-flags.ts'

function dfget(): Command {
  const command = new Command('dfget').version('1')
  addSettingFlags(command)
  command.command('server').description("the account's peer")
  command.command('completion').description('scripts: for shells')
  return command
}

/** What bash offers for the last of the words. */
function offered(...words: string[]): string[] {
  const quoted = words.map(word => `'${word}'`).join(' ')
  const ask = `COMP_WORDS=(${quoted}); COMP_CWORD=${words.length - 1}; _dfget; printf '%s\\n' "\${COMPREPLY[@]}"`
  const ended = spawnSync('bash', ['-euc', `${completionScript(dfget(), 'bash')}\n${ask}`], {
    encoding: 'utf8',
    cwd: '/',
  })
  assert.equal(ended.status, 0, ended.stderr)
  return ended.stdout.trim().split('\n')
}

test('bash offers flags, their words, files, directories and commands', () => {
  assert.deepEqual(offered('dfget', '--loc'), ['--locallimit'])
  assert.deepEqual(offered('dfget', '-p', ''), ['p2p', 'cdn', 'source'])
  assert.deepEqual(offered('dfget', '--pattern', 'c'), ['cdn'])
  assert.deepEqual(offered('dfget', '--home', '/us'), ['/usr'])
  const self = import.meta.filename
  assert.deepEqual(offered('dfget', '-o', self.slice(0, -4)), [self])
  assert.deepEqual(offered('dfget', '-s', ''), [''])
  assert.deepEqual(offered('dfget', 'ser'), ['server'])
  assert.deepEqual(offered('dfget', 'completion', ''), ['bash', 'zsh', 'fish'])
})

test('zsh and fish are told every flag with what it does, and what stands in a description quotes nothing', () => {
  const zsh = completionScript(dfget(), 'zsh')
  assert.match(zsh, /^#compdef dfget\n/)
  assert.match(zsh, /'\(-o --output\)'\{-o,--output\}'\[where to put it.*\]:file:_files'/)
  assert.match(zsh, /'server:the account'\\''s peer' 'completion:scripts\\: for shells'/)
  const fish = completionScript(dfget(), 'fish')
  assert.match(fish, /^complete -c dfget -s p -l pattern -x -a 'p2p cdn source' -d '/m)
  assert.match(fish, /^complete -c dfget -f -n __fish_use_subcommand -a server -d 'the account\\'s peer'$/m)
  for (const script of [zsh, fish]) assert.ok(!script.includes('no-insecure'))
})

test('another shell gets the nearest named', () => {
  assert.throws(() => completionScript(dfget(), 'bsh'), { code: 'USAGE', message: /did you mean "bash"/ })
  assert.throws(() => completionScript(dfget(), 'toString'), { code: 'USAGE' })
})

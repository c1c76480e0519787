import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ownAddressTowards } from './own-address.ts'

test('the own address is the one on the way to the other, and no name is looked up for it', async () => {
  assert.equal(await ownAddressTowards({ host: '127.0.0.1', port: 9 }), '127.0.0.1')
  assert.equal(await ownAddressTowards({ host: 'localhost', port: 9 }), '')
})

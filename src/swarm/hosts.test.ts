import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Hosts } from './hosts.ts'

test('a host has as many free slots as it offers, less those in use', () => {
  const hosts = new Hosts()
  hosts.add(1, 2)
  assert.deepEqual([hosts.slotsOf(1), hosts.utilisation(1), hosts.hasFreeSlot(1)], [2, 0, true])
  hosts.occupy(1)
  hosts.occupy(1)
  assert.deepEqual([hosts.utilisation(1), hosts.hasFreeSlot(1)], [1, false])
  hosts.free(1)
  assert.deepEqual([hosts.utilisation(1), hosts.hasFreeSlot(1)], [0.5, true])
})

test('a host that is gone is full, and whatever was asked of it ends without effect', () => {
  const hosts = new Hosts()
  hosts.add(1, 2)
  hosts.occupy(1)
  hosts.remove(1)
  hosts.free(1)
  hosts.occupy(1)
  assert.deepEqual([hosts.slotsOf(1), hosts.utilisation(1), hosts.hasFreeSlot(1)], [0, 1, false])
})

test('freeing a slot that nobody has is a programmer’s error', () => {
  const hosts = new Hosts()
  hosts.add(1, 2)
  assert.throws(() => hosts.free(1))
  assert.throws(() => hosts.add(2, 0))
})

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { fc } from '../test/support/properties.ts'
import { EventQueue } from './event-queue.ts'
import { type Flow, type Link, Network, newLink } from './network.ts'

/** Rates by the book: all flows rise together, and those of a link stop when it is full. */
function maxMinRates(flows: readonly Flow[]): Map<Flow, number> {
  const rates = new Map(flows.map(flow => [flow, 0]))
  const rising = new Set(flows)
  const room = new Map<Link, number>()
  for (const { links } of flows) for (const link of links) room.set(link, link.capacity)
  while (rising.size > 0) {
    const risingOn = (link: Link) => [...rising].filter(flow => flow.links.includes(link)).length
    let step = Number.POSITIVE_INFINITY
    for (const [link, left] of room) if (risingOn(link) > 0) step = Math.min(step, left / risingOn(link))
    for (const [link, left] of room) room.set(link, left - step * risingOn(link))
    for (const flow of rising) rates.set(flow, rates.get(flow)! + step)
    for (const flow of [...rising]) if (flow.links.some(link => room.get(link)! < 1e-6)) rising.delete(flow)
  }
  return rates
}

const capacities = fc.array(fc.integer({ min: 10, max: 1000 }), { minLength: 4, maxLength: 8 })
const pairs = fc.array(fc.tuple(fc.nat(), fc.nat()), { minLength: 1, maxLength: 14 })

function world(rates: readonly number[], ends: readonly (readonly [number, number])[]) {
  const queue = new EventQueue()
  const network = new Network(queue)
  const half = rates.length >> 1
  const ups = rates.slice(0, half).map(rate => newLink(rate))
  const downs = rates.slice(half).map(rate => newLink(rate))
  const flows = ends.map(([from, to]) =>
    network.start([ups[from % ups.length], downs[to % downs.length]], 1e6, () => {}),
  )
  return { queue, network, flows, links: [...ups, ...downs] }
}

describe('flows', () => {
  test('share links max-min fairly, to within a few hundredths', () => {
    fc.assert(
      fc.property(capacities, pairs, (rates, ends) => {
        const { flows } = world(rates, ends)
        for (const [flow, rate] of maxMinRates(flows)) {
          assert.ok(Math.abs(flow.rate - rate) <= 0.05 * rate, `${flow.rate} instead of ${rate}`)
        }
      }),
      { numRuns: 200 },
    )
  })

  test('never take more of a link than it has, as they come and go', () => {
    fc.assert(
      fc.property(capacities, pairs, fc.array(fc.nat(), { maxLength: 8 }), (rates, ends, stops) => {
        const { network, flows, links } = world(rates, ends)
        for (const stop of stops) {
          network.stop(flows[stop % flows.length])
          for (const link of links) {
            const used = link.flows.reduce((sum, flow) => sum + flow.rate, 0)
            assert.ok(used <= 1.02 * link.capacity, `${used} of ${link.capacity}`)
          }
        }
      }),
      { numRuns: 200 },
    )
  })

  test('end when their last byte has left, are counted, and stand still on a link without capacity', () => {
    const queue = new EventQueue()
    const network = new Network(queue)
    const link = newLink(10)
    let doneAt = 0
    network.start([link], 100, () => {
      doneAt = queue.now
    })
    queue.at(5, () => network.resize(link, 0))
    queue.at(20, () => network.resize(link, 50))
    while (queue.step());
    assert.ok(Math.abs(doneAt - 21) < 0.01, `${doneAt}`)
    assert.equal(Math.round(link.carried), 100)
    assert.equal(network.flowCount, 0)
  })
})

import assert from 'node:assert/strict'
import { it } from 'node:test'
import { DaemonMetrics } from './metrics.ts'

it('the daemon counts what it did, in labels from closed sets, and each daemon for itself', async () => {
  const [metrics, other] = [new DaemonMetrics(), new DaemonMetrics()]
  metrics.request('blob', 206)
  metrics.request('blob', 0)
  metrics.request('mirror', 999)
  metrics.served('swarm', 1_000)
  metrics.served('upstream', 24)
  metrics.fallback('silent')
  metrics.access('remembered')
  const isOver = metrics.reading()
  metrics.reading()
  isOver()
  isOver()
  const { body, contentType } = await metrics.text()
  const values = (text: string) =>
    text.split('\n').filter(line => /^dragonfly_/.test(line) && !line.endsWith(' 0'))
  assert.match(contentType, /^text\/plain/)
  assert.deepEqual(values(body), [
    'dragonfly_dfdaemon_requests_total{kind="blob",status="2xx"} 1',
    'dragonfly_dfdaemon_requests_total{kind="blob",status="none"} 1',
    'dragonfly_dfdaemon_requests_total{kind="mirror",status="none"} 1',
    'dragonfly_dfdaemon_served_bytes_total{source="swarm"} 1000',
    'dragonfly_dfdaemon_served_bytes_total{source="upstream"} 24',
    'dragonfly_dfdaemon_fallbacks_total{reason="silent"} 1',
    'dragonfly_dfdaemon_access_decisions_total{decision="remembered"} 1',
    'dragonfly_dfdaemon_active_readings 1',
  ])
  assert.deepEqual(values((await other.text()).body), [])
})

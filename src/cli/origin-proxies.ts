import type { ProxySettings } from '../net/proxy.ts'
import { parseProxy } from './dfget-values.ts'

/** Through whom a server asks origins, as its settings say. */
export type OriginProxies = {
  httpProxy?: string
  httpsProxy?: string
  proxyExcept?: readonly string[]
}

/** Each from the settings, else from the environment, where `HTTP_PROXY` does not count, as in curl: in a CGI a client can set it. */
export function proxiesInForce(settings: OriginProxies, environment: NodeJS.ProcessEnv): ProxySettings {
  const fromEnvironment = (...names: string[]) => {
    const text = names.map(name => environment[name]).find(Boolean)
    return text === undefined ? null : parseProxy(text).href
  }
  const except = environment.no_proxy || environment.NO_PROXY || ''
  return {
    http: settings.httpProxy ?? fromEnvironment('http_proxy'),
    https: settings.httpsProxy ?? fromEnvironment('https_proxy', 'HTTPS_PROXY'),
    except: settings.proxyExcept ?? except.split(',').map(entry => entry.trim()),
  }
}

import type { IncomingMessage, ServerResponse } from 'node:http'
import { fastifySwagger } from '@fastify/swagger'
import { type FastifyBaseLogger, type FastifyInstance, fastify, type RawServerDefault } from 'fastify'
import {
  jsonSchemaTransform,
  serializerCompiler,
  validatorCompiler,
  type ZodTypeProvider,
} from 'fastify-type-provider-zod'
import { DragonflyError, ERROR_TABLE } from '../core/error.ts'
import { VERSION } from '../ops/version.ts'
import { API_PREFIX, BODY_BYTES_MAX } from '../wire/manager-api.ts'
import { answerBrokenRequest, answerError } from './api-errors.ts'
import type { ManagerContext } from './context.ts'
import { addArmoryRoutes } from './routes/armory.ts'
import { addHealthRoutes } from './routes/health.ts'
import { addLocateRoute } from './routes/locate.ts'
import { addMemberRoutes } from './routes/members.ts'
import { addOverviewRoute } from './routes/overview.ts'
import { addSupernodeRoutes } from './routes/supernodes.ts'
import { addTokenRoutes } from './routes/tokens.ts'

/** With the types of its zod schemas. */
export type Api = FastifyInstance<
  RawServerDefault,
  IncomingMessage,
  ServerResponse,
  FastifyBaseLogger,
  ZodTypeProvider
>

const CONNECTIONS_MAX = 8_192
/** Waiting for the armory or for the database; who comes then is told to come later. */
const REQUESTS_MAX = 1_024
const HEAD_MS = 10_000
const REQUEST_MS = 15_000
const IDLE_MS = 15_000
const PATH_PARAMETER_LENGTH_MAX = 1_024

/** The managing node's HTTP side: the routes, and the limits that hold for all of them. */
export async function buildApi(context: ManagerContext): Promise<Api> {
  const api: Api = fastify({
    bodyLimit: BODY_BYTES_MAX,
    requestTimeout: REQUEST_MS,
    connectionTimeout: 2 * REQUEST_MS,
    keepAliveTimeout: IDLE_MS,
    forceCloseConnections: 'idle',
    routerOptions: { maxParamLength: PATH_PARAMETER_LENGTH_MAX },
    clientErrorHandler: answerBrokenRequest,
    frameworkErrors: (thrown, request, reply) => answerError(thrown, { request, reply, log: context.log }),
  }).withTypeProvider<ZodTypeProvider>()
  api.server.maxConnections = CONNECTIONS_MAX
  api.server.headersTimeout = HEAD_MS
  api.setValidatorCompiler(validatorCompiler)
  api.setSerializerCompiler(serializerCompiler)
  // All bodies are JSON.
  api.removeContentTypeParser('text/plain')
  api.setErrorHandler((thrown, request, reply) => answerError(thrown, { request, reply, log: context.log }))
  api.setNotFoundHandler(request => {
    throw new DragonflyError('REQUEST_NOT_FOUND', `there is no ${request.method} of this path`)
  })
  limitRequests(api)
  await describeRoutes(api)
  await api.register(async root => addHealthRoutes(root.withTypeProvider<ZodTypeProvider>(), context))
  await api.register(async scope => addRoutes(scope.withTypeProvider<ZodTypeProvider>(), context), {
    prefix: API_PREFIX,
  })
  await api.ready()
  return api
}

function addRoutes(api: Api, context: ManagerContext): void {
  addLocateRoute(api, context)
  addMemberRoutes(api, context)
  addSupernodeRoutes(api, context)
  addTokenRoutes(api, context)
  addArmoryRoutes(api, context)
  addOverviewRoute(api, context)
  api.get('/openapi.json', { schema: { hide: true } }, () => api.swagger())
}

function limitRequests(api: Api): void {
  let running = 0
  api.addHook('onRequest', async (_request, reply) => {
    running++
    // Also of a client that went away.
    reply.raw.once('close', () => running--)
    if (running > REQUESTS_MAX)
      throw new DragonflyError('MANAGER_OVERLOADED', `${REQUESTS_MAX} requests are being answered already`)
  })
}

async function describeRoutes(api: Api): Promise<void> {
  await api.register(fastifySwagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Dragonfly managing node',
        description: `Errors are {code, message, hint}; the codes: ${Object.keys(ERROR_TABLE).filter(isOwn).join(', ')}.`,
        version: VERSION,
      },
      components: {
        securitySchemes: {
          admin: { type: 'http', scheme: 'bearer', description: 'of manager token create --admin' },
          supernode: {
            type: 'http',
            scheme: 'bearer',
            description: 'the credential of this supernode, from POST /join',
          },
        },
      },
    },
    transform: jsonSchemaTransform,
  })
}

function isOwn(code: string): boolean {
  return /^(?:MANAGER|DATABASE|CREDENTIAL|REQUEST)_/.test(code)
}

// kafkajs for the end-to-end tests: obeys the lines that java/ describes. Its public consumer needs groups, so reading
// goes through its Cluster and Broker, which the consumer itself is made of.
'use strict'

const path = require('path')
const readline = require('readline')
const modules = path.resolve(process.argv[2]) // the folder that npm installed into
const load = name => require(path.join(modules, 'node_modules', 'kafkajs', name))
const { Kafka, CompressionTypes, logLevel } = load('')
const Cluster = load('src/cluster')
const createSocketFactory = load('src/network/socketFactory')
const { createLogger, LEVELS } = load('src/loggers')
const consoleLogger = load('src/loggers/console')

const ROUND = 500 // records sent before waiting for all of them
const text = b => (b === null || b === undefined ? '~' : Buffer.from(b).toString('base64'))
const data = s => (s === '~' ? null : Buffer.from(s, 'base64'))
const kafka = addr => new Kafka({ clientId: 'e2e', brokers: [addr], logLevel: logLevel.NOTHING, retry: { retries: 60, maxRetryTime: 2000 } })

async function admin(addr, act) {
  const a = kafka(addr).admin({ retry: { retries: 3 } })
  await a.connect()
  try {
    return await act(a)
  } finally {
    await a.disconnect()
  }
}

async function produce([addr, topic, codec], lines) {
  const all = lines.map(line => {
    const f = line.split(' ')
    const headers = {}
    for (const h of f.slice(5)) {
      const [name, value] = h.split(':')
      const key = data(name).toString()
      headers[key] = [...(headers[key] || []), data(value)]
    }
    return { partition: Number(f[0]), timestamp: f[2], key: data(f[3]), value: data(f[4]), headers }
  })
  const producer = kafka(addr).producer({ allowAutoTopicCreation: false, maxInFlightRequests: 1, idempotent: true })
  await producer.connect()
  try {
    const compression = { none: CompressionTypes.None, gzip: CompressionTypes.GZIP, snappy: CompressionTypes.Snappy, lz4: CompressionTypes.LZ4, zstd: CompressionTypes.ZSTD }[codec]
    const offsets = []
    for (let i = 0; i < all.length; i += ROUND) {
      const messages = all.slice(i, i + ROUND)
      const done = await producer.send({ topic, acks: -1, compression, messages })
      const next = Object.fromEntries(done.map(d => [d.partition, BigInt(d.baseOffset)]))
      for (const m of messages) offsets.push(String(next[m.partition]++))
    }
    return offsets
  } finally {
    await producer.disconnect()
  }
}

async function consume([addr, topic, millis, first]) {
  const offsets = await admin(addr, async a => [
    await a.fetchTopicOffsets(topic),
    millis === undefined ? null : await a.fetchTopicOffsetsByTimestamp(topic, Number(millis))
  ])
  const starts = new Map((offsets[1] || []).map(o => [o.partition, BigInt(o.offset)]))
  const cluster = new Cluster({
    logger: createLogger({ level: LEVELS.NOTHING, logCreator: consoleLogger }),
    socketFactory: createSocketFactory(), brokers: [addr], clientId: 'e2e', connectionTimeout: 5000,
    authenticationTimeout: 5000, reauthenticationThreshold: 10000, requestTimeout: 30000, metadataMaxAge: 60000,
    enforceRequestTimeout: true, retry: { retries: 5 }, maxInFlightRequests: null, allowAutoTopicCreation: false,
    isolationLevel: 0, instrumentationEmitter: null
  })
  await cluster.connect()
  try {
    await cluster.addTargetTopic(topic)
    const out = []
    for (const { partition, low, high } of offsets[0]) {
      await read(cluster, topic, partition, starts.get(partition) ?? BigInt(first ?? low), BigInt(high), out)
    }
    return out
  } finally {
    await cluster.disconnect()
  }
}

async function read(cluster, topic, partition, next, end, out) {
  const [node] = Object.keys(cluster.findLeaderForPartitions(topic, [partition]))
  const broker = await cluster.findBroker({ nodeId: node })
  while (next < end) {
    const answer = await broker.fetch({
      maxWaitTime: 500, minBytes: 1, maxBytes: 1 << 24, isolationLevel: 0,
      topics: [{ topic, partitions: [{ partition, fetchOffset: String(next), maxBytes: 1 << 24 }] }]
    })
    const messages = answer.responses[0].partitions[0].messages.filter(m => BigInt(m.offset) >= next)
    for (const m of messages) {
      const headers = []
      for (const [name, values] of Object.entries(m.headers || {})) {
        for (const v of Array.isArray(values) ? values : [values]) headers.push(`${text(Buffer.from(name))}:${text(v)}`)
      }
      out.push([partition, m.offset, m.timestamp, text(m.key), text(m.value), ...headers].join(' '))
      next = BigInt(m.offset) + 1n
    }
  }
}

const commands = {
  version: async () => [load('package.json').version],
  delete: ([addr, topic]) => admin(addr, async a => {
    await a.deleteTopics({ topics: [topic] })
    return []
  }),
  list: ([addr]) => admin(addr, a => a.listTopics()),
  alter: ([addr, topic, name, value]) => admin(addr, async a => {
    await a.alterConfigs({ validateOnly: false, resources: [{ type: 2, name: topic, configEntries: [{ name, value }] }] })
    return []
  }),
  create: ([addr, topic, n]) => admin(addr, async a => {
    if (!await a.createTopics({ topics: [{ topic, numPartitions: Number(n), replicationFactor: 1 }] })) throw new Error('topic exists')
    return []
  }),
  describe: ([addr, topic]) => admin(addr, async a => [(await a.fetchTopicMetadata({ topics: [topic] })).topics[0].partitions.length]),
  config: ([addr, topic, name]) => admin(addr, async a => {
    const found = await a.describeConfigs({ includeSynonyms: false, resources: [{ type: 2, name: topic, configNames: [name] }] })
    return [found.resources[0].configEntries.find(e => e.configName === name).configValue]
  }),
  produce,
  consume,
  'consume-from': consume,
  'consume-at': ([addr, topic, offset]) => consume([addr, topic, undefined, offset])
}

async function main() {
  const lines = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]()
  for (let line; !(line = await lines.next()).done;) {
    const [command, ...args] = line.value.split(' ')
    const records = []
    for (let n = command === 'produce' ? Number(args[3]) : 0; n > 0; n--) records.push((await lines.next()).value)
    try {
      const answer = await commands[command](args, records)
      process.stdout.write(answer.map(a => a + '\n').join('') + 'ok\n')
    } catch (e) {
      process.stdout.write('error ' + String(e.stack).replace(/\n/g, ' ') + '\n')
    }
  }
}

main()

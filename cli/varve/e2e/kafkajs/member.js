// A member of a group with kafkajs: is called (after the folder that npm installed into), and says, as java/.../Member.java describes.
'use strict'

const path = require('path')
const [modules, servers, topic, groupId, ...words] = process.argv.slice(2)
const { Kafka, logLevel } = require(path.join(path.resolve(modules), 'node_modules', 'kafkajs'))

const say = line => process.stdout.write(line + '\n')
const word = (name, other) => (words.find(w => w.startsWith(name + '=')) || `=${other}`).split('=')[1]
const session = Number(word('session', 30000))

async function main() {
  const kafka = new Kafka({ clientId: 'e2e', brokers: servers.split(','), logLevel: logLevel.NOTHING, retry: { initialRetryTime: 100, maxRetryTime: 1000, retries: 5 } })
  const consumer = kafka.consumer({ groupId, sessionTimeout: session, heartbeatInterval: session / 10, maxWaitTimeInMs: 200, metadataMaxAge: 3000 })
  consumer.on(consumer.events.GROUP_JOIN, e => {
    say('revoked *')
    say('assigned ' + (e.payload.memberAssignment[topic] || []).join(','))
  })
  consumer.on(consumer.events.REBALANCING, () => say('revoked *'))
  consumer.on(consumer.events.CRASH, e => say('again ' + String(e.payload.error).replace(/\n/g, ' ')))
  process.stdin.on('end', async () => {
    await consumer.disconnect()
    process.stdout.write('left\n', () => process.exit(0))
  })
  process.stdin.resume()
  await consumer.connect()
  await consumer.subscribe({ topics: [topic], fromBeginning: true })
  await consumer.run({
    autoCommitInterval: 500,
    eachBatch: async ({ batch, resolveOffset, commitOffsetsIfNecessary, heartbeat }) => {
      if (batch.messages.length > 0) say(`read ${batch.partition} ${batch.messages[0].offset} ${batch.lastOffset()}`)
      resolveOffset(batch.lastOffset())
      await heartbeat()
      await commitOffsetsIfNecessary()
    }
  })
}

main().catch(e => {
  process.stderr.write(String(e.stack) + '\n')
  process.exit(1)
})

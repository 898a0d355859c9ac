// A reader: counts the events of each device through the unmodified Event Hubs client, from the beginning to where it is now.
//
//   ../../sallyport connection-string show --default-eventhub | node count.mjs
//
// The connection string comes on standard input (as text or as the JSON the command prints), never on the command line.
// Node has to trust the hub's root: NODE_EXTRA_CA_CERTS=sallyport-ca.pem
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const require = createRequire(import.meta.url);
const { EventHubConsumerClient, earliestEventPosition } = require('@azure/event-hubs');

const input = readFileSync(0, 'utf8').trim();
const client = new EventHubConsumerClient('$Default', input.startsWith('{') ? JSON.parse(input).connectionString : input);

// How far each partition is now: there the count ends.
const ends = new Map();
for (const partition of await client.getPartitionIds()) {
  const { isEmpty, lastEnqueuedSequenceNumber } = await client.getPartitionProperties(partition);
  if (!isEmpty) ends.set(partition, lastEnqueuedSequenceNumber);
}

const counts = new Map();
await new Promise((resolve, reject) => {
  if (ends.size === 0) resolve();
  client.subscribe({
    async processEvents(events, { partitionId }) {
      for (const { systemProperties, sequenceNumber } of events) {
        const device = systemProperties['iothub-connection-device-id'];
        if (ends.has(partitionId)) counts.set(device, (counts.get(device) ?? 0) + 1);
        if (sequenceNumber >= ends.get(partitionId)) ends.delete(partitionId);
      }
      if (ends.size === 0) resolve();
    },
    processError: async error => reject(error),
  }, { startPosition: earliestEventPosition, maxBatchSize: 500 });
});
for (const [device, count] of [...counts].sort()) console.log(`${device} ${count}`);
await client.close();

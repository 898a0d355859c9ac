// The Event Hubs-compatible endpoint to the unmodified Event Hubs client: what it describes, where reading may begin, who may read.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { earliestEventPosition } from '@azure/event-hubs';
import { AmqpWire, data, send } from './amqp-wire.mjs';
import { carriers, connectionString, consumer, deviceOf, Reading, read, refusal } from './eventhubs.mjs';
import * as hub from './hub.mjs';

const deadline = { timeout: 60_000 };
const range = count => Array.from({ length: count }, (_, n) => n);
const numbers = events => events.map(event => event.body.n);

// A device, its connection, its partition, and its first ten events as the hub stored them.
let source;

before(async () => {
  await hub.start();
  const device = await hub.device('source');
  const wire = await AmqpWire.open();
  await wire.putDevice(device);
  const link = await wire.sender(`/devices/${device.deviceId}/messages/events`);
  source = { ...device, wire, next: 0, send: () => send(link, data({ n: source.next++ })) };
  for (let n = 0; n < 10; n++) await source.send();
  const stored = await hub.events(device.deviceId);
  source.partition = String(stored[0].partition);
  const client = consumer();
  source.events = [...await read(client, events => events.length === 10, { startPosition: earliestEventPosition }, source.partition)];
  await client.close();
}, { timeout: 60_000 });

after(async () => {
  await source.wire.close();
  await hub.stop();
});

/** A policy of its own; answers the connection string of its readers. */
async function policy(name, ...permissions) {
  const { primaryKey } = await hub.cliJson(['policy', 'create', '-n', name, '--permissions', ...permissions]);
  return connectionString({ policy: name, key: primaryKey });
}

async function withClient(options, use) {
  const client = consumer(options);
  try {
    return await use(client);
  } finally {
    await client.close();
  }
}

for (const carrier of Object.keys(carriers)) {
  test(`EventHub_DescribedOver_${carrier}_HasItsNameAndPartitions`, deadline, () => withClient({ carrier }, async client => {
    const hubProperties = await client.getEventHubProperties();
    assert.equal(hubProperties.name, 'events');
    assert.ok(hubProperties.createdOn instanceof Date && hubProperties.createdOn <= new Date());
    assert.ok(hubProperties.partitionIds.length > 0);
    assert.deepEqual(await client.getPartitionIds(), hubProperties.partitionIds);
    const last = source.events.at(-1);
    for (const id of hubProperties.partitionIds) {
      const properties = await client.getPartitionProperties(id);
      assert.equal(properties.partitionId, id);
      assert.equal(properties.eventHubName, 'events');
      assert.equal(properties.isEmpty, id !== source.partition);
      assert.equal(properties.beginningSequenceNumber, 0);
      assert.equal(properties.lastEnqueuedSequenceNumber, id === source.partition ? last.sequenceNumber : -1);
      assert.equal(properties.lastEnqueuedOffset, id === source.partition ? last.offset : '-1');
      if (id === source.partition) assert.equal(properties.lastEnqueuedOnUtc.getTime(), last.enqueuedTimeUtc.getTime());
    }
  }));

  for (const [position, { at, from }] of Object.entries({
    the_beginning: { at: () => earliestEventPosition, from: 0 },
    a_number: { at: ([,,, event]) => ({ sequenceNumber: event.sequenceNumber }), from: 4 },
    a_number_inclusive: { at: ([,,, event]) => ({ sequenceNumber: event.sequenceNumber, isInclusive: true }), from: 3 },
    an_offset: { at: ([,,, event]) => ({ offset: event.offset }), from: 4 },
    an_offset_inclusive: { at: ([,,, event]) => ({ offset: event.offset, isInclusive: true }), from: 3 },
    the_newest_inclusive: { at: events => ({ sequenceNumber: events.at(-1).sequenceNumber, isInclusive: true }), from: 9 },
    a_time_before_all: { at: () => ({ enqueuedOn: 0 }), from: 0 },
  })) {
    test(`Reader_From_${position}_Over_${carrier}_GetsWhatFollows`, deadline, () => withClient({ carrier }, async client => {
      const events = await read(client, events => events.length >= 10 - from, { startPosition: at(source.events) }, source.partition);
      assert.deepEqual(numbers(events), range(10).slice(from));
    }));
  }

  test(`Reader_BehindTheNewestOver_${carrier}_IsRefusedWithASentence`, deadline, () => withClient({ carrier }, async client => {
    for (const startPosition of [{ sequenceNumber: 1_000_000 }, { offset: '1000000' }]) {
      const error = await refusal(client, { startPosition }, source.partition);
      assert.equal(error.code, 'ArgumentOutOfRangeError', String(error));
      assert.match(error.message, /1000000 is behind the newest event of the partition, 9/);
    }
  }));
}

for (const [what, { options, partition, error }] of Object.entries({
  group: { options: { group: 'nobody' }, error: /no such consumer group/ },
  partition: { partition: '999', error: /partitions 0 to/ },
  event_hub: { options: { connectionString: () => connectionString({ eventHub: 'other' }) }, error: /is called events/ },
})) {
  test(`Reader_OfAnUnknown_${what}_IsRefusedWithASentence`, deadline, () =>
    withClient({ ...options, ...(options?.connectionString ? { connectionString: options.connectionString() } : {}) }, async client => {
      assert.match((await refusal(client, { startPosition: earliestEventPosition }, partition ?? source.partition)).message, error);
      if (what === 'event_hub') await assert.rejects(client.getEventHubProperties(), error);
      if (what === 'partition') await assert.rejects(client.getPartitionProperties(partition), error);
    }));
}

test('Reader_WithAWrongKeyOrPolicy_IsUnauthorized', deadline, async () => {
  for (const wrong of [{ key: Buffer.alloc(32, 1).toString('base64') }, { policy: 'nobody' }]) {
    await withClient({ connectionString: connectionString(wrong) }, async client => {
      assert.equal((await refusal(client, { startPosition: earliestEventPosition }, source.partition)).code, 'UnauthorizedError');
      await assert.rejects(client.getEventHubProperties(), { code: 'UnauthorizedError' });
    });
  }
});

test('Reader_WhosePolicyMayNotReadTelemetry_IsUnauthorized', deadline, async () => {
  await withClient({ connectionString: await policy('no-telemetry', 'RegistryRead', 'DeviceConnect') }, async client => {
    assert.equal((await refusal(client, { startPosition: earliestEventPosition }, source.partition)).code, 'UnauthorizedError');
    await assert.rejects(client.getEventHubProperties(), { code: 'UnauthorizedError' });
  });
});

for (const [act, end] of Object.entries({
  deleted: name => hub.cli(['policy', 'delete', '-n', name, '--yes']),
  given_new_keys: async name => {
    await hub.cli(['policy', 'renew-key', '-n', name, '--renew-key', 'primary']);
    return hub.cli(['policy', 'renew-key', '-n', name, '--renew-key', 'secondary']);
  },
})) {
  test(`Reader_WhosePolicyIs_${act}_IsEnded_AndOthersReadOn`, deadline, async () => {
    const name = `reader-${act.replaceAll('_', '-')}`;
    const [ended, other] = [consumer({ connectionString: await policy(name, 'telemetry-read') }), consumer()];
    const [reading, others] = [ended, other].map(client => new Reading(client, { startPosition: earliestEventPosition }, source.partition));
    await Promise.all([reading, others].map(each => each.until(events => events.length >= 10)));
    const error = reading.error();
    assert.equal((await end(name)).code, 0);
    assert.equal((await error).code, 'UnauthorizedError', String(await error));
    const count = reading.events.length;
    const n = source.next;
    await source.send();
    await others.until(events => numbers(events).includes(n));
    assert.equal(reading.events.length, count);
    await Promise.all([reading.close(), others.close()]);
    await Promise.all([ended.close(), other.close()]);
  });
}

test('ConsumerGroup_IsReadWhileItIsThere_AndItsReadersAreEndedWhenItIsDeleted', deadline, async () => {
  await hub.cliJson(['consumer-group', 'create', '-n', 'Dashboards']);
  const [client, other] = [consumer({ group: 'dashboards' }), consumer()];
  const [reading, others] = [client, other].map(each => new Reading(each, { startPosition: earliestEventPosition }, source.partition));
  await Promise.all([reading, others].map(each => each.until(events => events.length >= 10)));
  const error = reading.error();
  assert.equal((await hub.cli(['consumer-group', 'delete', '-n', 'dashboards', '--yes'])).code, 0);
  assert.match((await error).message, /consumer group was deleted/);
  await reading.close();
  assert.match((await refusal(client, { startPosition: earliestEventPosition }, source.partition)).message, /no such consumer group/);
  const n = source.next;
  await source.send();
  await others.until(events => numbers(events).includes(n));
  await others.close();
  await Promise.all([client.close(), other.close()]);
});

test('OwnerLevel_HigherTakesThePartitionOver_LowerAndNoneAreRefused', deadline, async () => {
  const clients = range(4).map(() => consumer());
  const reading = (n, ownerLevel) => new Reading(clients[n], { startPosition: earliestEventPosition, ownerLevel }, source.partition);
  const ten = events => events.length >= 10;

  const none = reading(0, undefined);
  await none.until(ten);
  const first = reading(1, 1);
  await first.until(ten);
  assert.equal((await none.error()).code, 'ReceiverDisconnectedError');

  const second = reading(2, 2);
  await second.until(ten);
  assert.equal((await first.error()).code, 'ReceiverDisconnectedError');

  for (const ownerLevel of [1, undefined]) {
    const late = reading(3, ownerLevel);
    const error = await late.error();
    assert.equal(error.code, 'ReceiverDisconnectedError');
    assert.match(error.message, /epoch 2/);
    await late.close();
  }

  const n = source.next;
  await source.send();
  await second.until(events => numbers(events).includes(n));
  assert.deepEqual(second.errors, []);
  await second.close();

  // With the owner gone the partition is anybody's.
  const after = reading(3, undefined);
  await after.until(ten);
  await Promise.all([none, first, after].map(each => each.close()));
  await Promise.all(clients.map(client => client.close()));
});

test('Readers_20OfAGroupWithoutOwnerLevel_EachGetEverything', deadline, async () => {
  const clients = range(20).map(n => consumer({ carrier: n % 2 ? 'ws' : 'tls' }));
  const readings = clients.map(client => new Reading(client, { startPosition: earliestEventPosition }, source.partition));
  await Promise.all(readings.map(reading => reading.until(events => events.length >= 10)));
  const first = source.next;
  for (let n = 0; n < 5; n++) await source.send();
  const all = range(source.next);
  assert.equal(all.length, first + 5);
  for (const reading of readings) {
    await reading.until(events => events.length >= all.length);
    assert.deepEqual(numbers(reading.events), all);
    assert.ok(reading.events.every(event => deviceOf(event) === source.deviceId));
  }
  await Promise.all(readings.map(reading => reading.close()));
  await Promise.all(clients.map(client => client.close()));
});

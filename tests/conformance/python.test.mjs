// Debian's Event Hubs client (python3-azure) and uAMQP (python3-uamqp: the AMQP of the C device SDK, of the Python service SDK and of the az CLI),
// by python/clients.py, each run in a process of its own: uAMQP 1.5.3 crashes its process where a hub answers in an order it does not expect.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import * as amqp from './amqp-wire.mjs';
import * as hub from './hub.mjs';

const script = path.join(path.dirname(fileURLToPath(import.meta.url)), 'python', 'clients.py');
const python = '/usr/bin/python3'; // Debian's own, whatever else is on PATH.
const skip = spawnSync(python, ['-c', 'import azure.eventhub, uamqp']).status !== 0 &&
  "Debian's python3-azure and python3-uamqp are not both installed: no test with azure-eventhub and uAMQP";
const options = { timeout: 120_000, skip };

before(() => skip || hub.start());
after(hub.stop);

/** Runs one verb of clients.py; answers what it printed. A crash is an error. */
async function client(verb, request) {
  const child = spawn(python, [script, verb], { stdio: ['pipe', 'pipe', 'pipe'] });
  let stdout = '', stderr = '';
  child.stdout.on('data', chunk => stdout += chunk);
  child.stderr.on('data', chunk => stderr += chunk);
  child.stdin.end(JSON.stringify({ caFile: hub.endpoints().caFile, ...request }));
  const { code, signal } = await new Promise(resolve => child.once('close', (code, signal) => resolve({ code, signal })));
  assert.deepEqual({ code, signal }, { code: 0, signal: null }, stderr);
  return JSON.parse(stdout);
}

const seconds = 3600;
const expires = () => Math.floor(Date.now() / 1000) + seconds;

async function send(device, count, transport) {
  const messages = Array.from({ length: count }, (_, n) => ({ id: `m${n}`, body: JSON.stringify({ n }), properties: { 'k 1': 'v/1', n: `${n}` } }));
  return client('device', {
    transport, messages, hostName: device.hostName, address: `devices/${device.deviceId}`,
    token: hub.sas(`${device.hostName}/devices/${device.deviceId}`, device.key, { seconds }), expires: expires(),
  });
}

function policy() {
  const { HostName, SharedAccessKeyName, SharedAccessKey } = hub.parts(hub.endpoints().ownerConnectionString);
  return { hostName: HostName, policy: SharedAccessKeyName, key: SharedAccessKey, token: hub.sas(HostName, SharedAccessKey, { policy: SharedAccessKeyName, seconds }), expires: expires() };
}

/** A device of its own with events of its own; what the hub knows of them, and of their partition. */
async function sent(count) {
  const device = await hub.device('python');
  assert.deepEqual(await send(device, count), { sent: [true] });
  const events = await hub.events(device.deviceId);
  assert.equal(events.length, count);
  return { device, events, partition: String(events[0].partition) };
}

/** A device of its own with 3,000 events, more than a session remembers outcomes of; as the hub stored them. */
async function sentMany() {
  const device = await hub.device('python');
  const wire = await amqp.AmqpWire.open();
  await wire.putDevice(device);
  const link = await wire.sender(`/devices/${device.deviceId}/messages/events`);
  const messages = Array.from({ length: 500 }, (_, n) => amqp.data({ n }));
  for (let batch = 0; batch < 6; batch++) await amqp.send(link, amqp.batch(messages), amqp.batchFormat);
  await wire.close();
  const stored = await hub.events(device.deviceId);
  assert.equal(stored.length, 3000);
  return { device, stored };
}

const read = request => client('read', { connectionString: hub.endpoints().eventHubConnectionString, ...request });
const numbers = events => events.map(event => event.sequence);

for (const transport of ['uamqp', 'uamqp-ws']) {
  test(`Device_ThatSendsABatchOver_${transport}_IsToldItIsStored`, options, async () => {
    const device = await hub.device('uamqp');

    assert.deepEqual(await send(device, 3, transport), { sent: [true] });

    const events = await hub.events(device.deviceId);
    assert.deepEqual(events.map(event => event.body), [{ n: 0 }, { n: 1 }, { n: 2 }]);
    assert.deepEqual(events[1].properties, { 'k 1': 'v/1', n: '1' });
  });
}

test('Device_WithAKeyThatIsNotItsOwn_IsRefusedWithoutACrash', options, async () => {
  const device = await hub.device('uamqp'), other = await hub.device('uamqp');

  const { error, sent: told } = await send({ ...device, key: other.key }, 1);

  assert.equal(told, undefined);
  assert.equal(error, 'TokenAuthFailure');
  assert.deepEqual(await hub.events(device.deviceId), []);
});

test('Command_OfTheServiceClient_IsTaken_AndOneToNobodyIsRefusedWithoutACrash', options, async () => {
  const device = await hub.device('uamqp');

  assert.deepEqual(await client('command', { ...policy(), deviceId: device.deviceId }), { sent: [true] });
  assert.equal((await hub.cliJson(['device', 'c2d-message', 'list', '-d', device.deviceId])).length, 1);
  assert.deepEqual(await client('command', { ...policy(), deviceId: 'nobody-at-all' }), { sent: [false] });
});

test('EventHubClient_AsksForProperties_GetsWhatEachPartitionHolds', options, async () => {
  const { events, partition } = await sent(3);

  const told = await client('properties', { connectionString: hub.endpoints().eventHubConnectionString });

  assert.equal(told.name, 'events');
  assert.deepEqual(told.partitionIds, told.partitions.map(one => one.id));
  const own = told.partitions.find(one => one.id === partition);
  assert.equal(own.isEmpty, false);
  assert.equal(own.first, 0);
  assert.equal(own.last, events.at(-1).sequenceNumber);
  assert.equal(Number(own.lastOffset), own.last);
});

test('EventHubClient_ReadsFromASequenceNumber_GetsEveryEventWithItsProperties', options, async () => {
  const { device, events, partition } = await sent(3);
  const first = events[0].sequenceNumber;

  const behind = await read({ partition, from: first, count: 2, track: true });
  const including = await read({ partition, from: first, inclusive: true, count: 3 });

  assert.deepEqual([behind.errors, including.errors], [[], []]);
  assert.deepEqual(numbers(behind.events), [first + 1, first + 2]);
  assert.deepEqual(numbers(including.events), [first, first + 1, first + 2]);
  assert.equal(behind.events.at(-1).last, first + 2, 'the runtime metric: who has read everything has no lag');
  const [event] = including.events;
  assert.equal(event.body, '{"n":0}');
  assert.equal(Number(event.offset), first);
  assert.deepEqual(event.properties, { 'k 1': 'v/1', n: '0' });
  assert.equal(event.system['iothub-connection-device-id'], device.deviceId);
  assert.equal(event.system['iothub-message-source'], 'Telemetry');
  assert.equal(event.system['content-type'], 'application/json');
});

test('EventHubClient_ReadsFromATime_GetsWhatCameLater', options, async () => {
  const { device, events, partition } = await sent(2);
  await send(device, 2);
  const from = { time: Date.parse(events.at(-1).enqueuedTime) / 1000 };

  const { events: later, errors } = await read({ partition, from, count: 2 });

  assert.deepEqual(errors, []);
  const last = events.at(-1).sequenceNumber;
  assert.deepEqual(numbers(later).slice(0, 2), [last + 1, last + 2]);
});

test('EventHubClient_WithTheGroupInLowerCase_ReadsFromTheBeginning', options, async () => {
  const { partition } = await sent(1);

  const { events, errors } = await read({ partition, consumerGroup: '$default', from: '-1', count: 1 });

  assert.deepEqual(errors, []);
  assert.equal(events[0].sequence, 0);
});

test('EventHubClient_WithAnOwnerLevel_ReadsAlone', options, async () => {
  const { events, partition } = await sent(1);
  const own = events[0].sequenceNumber;

  const { events: alone, errors } = await read({ partition, from: own, inclusive: true, ownerLevel: 7, count: 1, prefetch: 5 });

  assert.deepEqual(errors, []);
  assert.equal(alone[0].sequence, own);
});

// The client asks for events that it settles itself, and never settles one.
for (const prefetch of [5, 300]) {
  test(`EventHubClient_ReadingAFewThousandEvents_${prefetch}_ahead_GetsEachOnceAndInOrder`, options, async () => {
    const { stored } = await sentMany();
    const [{ partition, sequenceNumber: from }] = stored;

    const { events, errors } = await read({ partition: String(partition), from, inclusive: true, ownerLevel: 7, count: 3000, prefetch });

    assert.deepEqual(errors, []);
    assert.deepEqual(numbers(events).slice(0, 3000), stored.map(event => event.sequenceNumber));
  });
}

test('Monitor_AsTheAzCliDoes_IsRedirectedAndReadsFromATime', options, async () => {
  const { device, events, partition } = await sent(3);

  const told = await client('monitor', { ...policy(), partition, sinceMs: Date.parse(events[0].enqueuedTime) - 1, count: 3 });

  assert.equal(told.path, 'events');
  assert.equal(told.partitionCount, told.partitionIds.length);
  const own = told.events.filter(event => event.annotations['iothub-connection-device-id'] === device.deviceId);
  assert.deepEqual(own.map(event => event.body), ['{"n":0}', '{"n":1}', '{"n":2}']);
});

test('Monitor_OfMoreEventsThanASessionRemembers_GetsThemAll', options, async () => {
  const { device, stored } = await sentMany();
  const [{ partition, enqueuedTime }] = stored;

  const told = await client('monitor', { ...policy(), partition: String(partition), sinceMs: Date.parse(enqueuedTime) - 1, count: 3000 });

  const own = told.events.filter(event => event.annotations['iothub-connection-device-id'] === device.deviceId);
  assert.deepEqual(own.map(event => event.body), stored.map(event => JSON.stringify(event.body)));
});

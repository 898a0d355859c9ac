// What the five transports of devices sent, read by the unmodified Event Hubs client as applications read: from any position, with a checkpoint
// store, by one client after the other. The partitions hold what other files left: only the events of these devices are looked at.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { earliestEventPosition, latestEventPosition } from '@azure/event-hubs';
import iotDevice from 'azure-iot-device';
import iotAmqp from 'azure-iot-device-amqp';
import iotHttp from 'azure-iot-device-http';
import iotMqtt from 'azure-iot-device-mqtt';
import { carriers, Checkpoints, consumer, deviceOf, Reading, read } from './eventhubs.mjs';
import * as hub from './hub.mjs';

const { Client, Message } = iotDevice;
const transports = { mqtt: iotMqtt.Mqtt, 'mqtt-ws': iotMqtt.MqttWs, amqp: iotAmqp.Amqp, 'amqp-ws': iotAmqp.AmqpWs, https: iotHttp.Http };
const deadline = { timeout: 120_000 };
const range = (from, to) => Array.from({ length: to - from }, (_, n) => from + n);

// One device per transport: how much it has sent, and what it had sent when the tests began, as the hub stored it.
let devices;

before(async () => {
  await hub.start();
  devices = await Promise.all(Object.entries(transports).map(async ([name, transport]) => {
    const device = await hub.device(`read-${name}`);
    const client = Client.fromConnectionString(device.connectionString, transport);
    await client.open();
    return { ...device, client, next: 0 };
  }));
  await sendEach(20);
  for (const device of devices) {
    device.stored = await hub.events(device.deviceId);
    device.partition = String(device.stored[0].partition);
    assert.deepEqual(device.stored.map(event => event.body.n), range(0, 20));
  }
}, deadline);

after(async () => {
  for (const { client } of devices ?? []) {
    client.removeAllListeners();
    await client.close().catch(() => {});
  }
  await hub.stop();
});

/** Each device sends as many events more, one after the other; the devices beside each other. */
function sendEach(count) {
  return Promise.all(devices.map(async device => {
    for (let n = 0; n < count; n++) await device.client.sendEvent(new Message(JSON.stringify({ n: device.next++ })));
  }));
}

const numbersOf = (device, events) => events.filter(event => deviceOf(event) === device.deviceId).map(event => event.body.n);
const own = events => events.filter(event => devices.some(device => deviceOf(event) === device.deviceId));

for (const carrier of Object.keys(carriers)) {
  // Where reading may begin, by what the client knows of an event: the twelfth of 20. `behind` says whether an event is read then.
  for (const [position, { at, behind = (event, twelfth) => event.sequenceNumber > twelfth.sequenceNumber }] of Object.entries({
    the_beginning: { at: () => earliestEventPosition, behind: () => true },
    a_number: { at: ({ sequenceNumber }) => ({ sequenceNumber }) },
    a_number_inclusive: { at: ({ sequenceNumber }) => ({ sequenceNumber, isInclusive: true }), behind: (event, twelfth) => event.sequenceNumber >= twelfth.sequenceNumber },
    an_offset: { at: ({ offset }) => ({ offset }) },
    an_offset_inclusive: { at: ({ offset }) => ({ offset, isInclusive: true }), behind: (event, twelfth) => event.sequenceNumber >= twelfth.sequenceNumber },
    a_time: { at: ({ enqueuedTimeUtc }) => ({ enqueuedOn: enqueuedTimeUtc }), behind: (event, twelfth) => Date.parse(event.enqueuedTime) > twelfth.enqueuedTimeUtc.getTime() },
  })) {
    test(`Reader_From_${position}_Over_${carrier}_GetsWhatEachTransportSentAfterIt_InOrder`, deadline, async () => {
      await Promise.all(devices.map(async device => {
        const { stored, partition } = device;
        const client = consumer({ carrier }); // One client reads a partition once at a time, and devices may share one.
        const [twelfth] = await read(client, events => events.length > 0, { startPosition: { sequenceNumber: stored[11].sequenceNumber, isInclusive: true }, maxBatchSize: 1 }, partition);
        const expected = stored.filter(event => behind(event, twelfth)).map(event => event.body.n);
        assert.ok(expected.length > 0);

        const events = await read(client, events => numbersOf(device, events).includes(19), { startPosition: at(twelfth) }, partition);

        const numbers = numbersOf(device, events);
        assert.deepEqual(numbers.slice(0, numbers.indexOf(19) + 1), expected, device.deviceId);
        await client.close();
      }));
    });
  }

  test(`Reader_FromTheEndOver_${carrier}_GetsWhatEachTransportSendsFromThenOn_InOrder`, deadline, async () => {
    const clients = devices.map(() => consumer({ carrier }));
    const before = devices.map(device => device.next);
    const readings = devices.map((device, n) => new Reading(clients[n], { startPosition: latestEventPosition }, device.partition));

    // When a reader has found the end nobody but the hub knows: each device sends until its reader has an event.
    while (!devices.every((device, n) => numbersOf(device, readings[n].events).length > 0)) await sendEach(1);
    const sent = devices.map(device => device.next);
    await Promise.all(devices.map((device, n) => readings[n].until(events => numbersOf(device, events).includes(sent[n] - 1))));

    for (const [n, device] of devices.entries()) {
      const [first, ...more] = numbersOf(device, readings[n].events);
      assert.ok(first >= before[n], `${device.deviceId} had sent ${before[n]} events, and its reader got ${first}`);
      assert.deepEqual([first, ...more], range(first, sent[n]));
    }

    await Promise.all(readings.map(reading => reading.close()));
    await Promise.all(clients.map(client => client.close()));
  });

  test(`Readers_WithCheckpointsOver_${carrier}_GetEachEventOnceOneAfterTheOther_AndTheLastHasNoLag`, deadline, async () => {
    const group = `checkpointed-${carrier}`;
    await hub.cliJson(['consumer-group', 'create', '-n', group]);
    const store = new Checkpoints();
    const newest = new Map(); // By partition: where the last event is, and where the newest of the partition was when it was sent.
    const options = {
      startPosition: earliestEventPosition, maxBatchSize: 7, trackLastEnqueuedEventProperties: true,
      processed: async (events, context) => {
        if (events.length === 0) return;
        const last = events.at(-1);
        newest.set(context.partitionId, { at: last.sequenceNumber, newest: context.lastEnqueuedEventProperties.sequenceNumber });
        await context.updateCheckpoint(last);
      },
    };
    const client = () => consumer({ carrier, group, store, loadBalancingOptions: { strategy: 'greedy', updateIntervalInMs: 200 } });
    const readers = [client(), client()];

    // The first goes when it has half of what is there.
    const total = devices.reduce((sum, device) => sum + device.next, 0);
    const first = new Reading(readers[0], options);
    await first.until(events => own(events).length >= total / 2);
    await first.close();
    await readers[0].close();
    const processed = first.events.length;

    // The second goes on from the checkpoints, while the devices send.
    const second = new Reading(readers[1], options);
    await sendEach(20);
    const isAtEnd = device => newest.get(device.partition)?.at === newest.get(device.partition)?.newest;
    await second.until(events => devices.every(device => numbersOf(device, events).at(-1) === device.next - 1 && isAtEnd(device)));

    assert.equal(first.events.length, processed, 'who is closed reads no more');
    for (const device of devices) {
      assert.deepEqual(numbersOf(device, [...first.events, ...second.events]), range(0, device.next), device.deviceId);
      const { lastEnqueuedSequenceNumber } = await readers[1].getPartitionProperties(device.partition);
      assert.equal(newest.get(device.partition).at, lastEnqueuedSequenceNumber);
    }

    assert.deepEqual([...first.errors, ...second.errors], []);
    await second.close();
    await readers[1].close();
  });
}

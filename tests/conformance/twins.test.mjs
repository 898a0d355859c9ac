// Twins with the official SDKs, beside what the matrix shows of each transport and kind of identity.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import iotdevice from 'azure-iot-device';
import amqp from 'azure-iot-device-amqp';
import mqtt from 'azure-iot-device-mqtt';
import iothub from 'azure-iothub';
import * as hub from './hub.mjs';
import { Wire } from './wire.mjs';

const transports = { mqtt: mqtt.Mqtt, 'mqtt-ws': mqtt.MqttWs, amqp: amqp.Amqp, 'amqp-ws': amqp.AmqpWs };
const deadline = { timeout: 60_000 };
let registry;

before(async () => {
  const { ownerConnectionString } = await hub.start();
  registry = iothub.Registry.fromConnectionString(ownerConnectionString);
});
after(hub.stop);

/** A device: its client, and what services do with its twin. */
async function open(transport) {
  const device = await hub.device(`twin-${transport}`);
  const client = iotdevice.Client.fromConnectionString(device.connectionString, transports[transport]);
  await client.open();
  const service = {
    get: async () => (await registry.getTwin(device.deviceId)).responseBody,
    update: async (patch, etag = '*') => (await registry.updateTwin(device.deviceId, patch, etag)).responseBody,
  };
  return { client, service, device };
}

let probe = 0;

// The SDK does not say when it has subscribed, and begins with what it knows: changes something until it is told of it.
async function listens(twin, service) {
  const first = probe + 1;
  let isTold;
  const told = new Promise(resolve => { isTold = resolve; });
  twin.on('properties.desired', delta => { if (delta.probe >= first) isTold(true); });
  do await service.update({ properties: { desired: { probe: ++probe } } });
  while (!(await Promise.race([told, new Promise(resolve => setTimeout(resolve, 50, false))])));
}

for (const transport of Object.keys(transports)) {
  test(`Twin_${transport}_AReportAgainstARule_IsAnErrorAndTheConnectionLives`, deadline, async () => {
    const { client, service } = await open(transport);
    try {
      const twin = await promisify(client.getTwin.bind(client))();
      const report = promisify(twin.properties.reported.update.bind(twin.properties.reported));
      await assert.rejects(report({ 'a.b': 1 }));
      await assert.rejects(report({ $x: 1 }));
      await assert.rejects(report({ large: Array.from({ length: 9 }, () => 'x'.repeat(3700)) }));
      await assert.rejects(report({ a: { b: { c: { d: { e: { f: { g: { h: { i: { j: { k: {} } } } } } } } } } } }));
      await report({ fine: 1 });
      const { properties: { reported } } = await service.get();
      assert.equal(reported.fine, 1);
      assert.equal(reported.$version, 2);
    } finally {
      await client.close();
    }
  });
}

for (const transport of ['mqtt', 'mqtt-ws']) {
  test(`Twin_${transport}_AfterADroppedConnection_WorksWithoutSubscribingAgain`, deadline, async () => {
    const { client, service, device } = await open(transport);
    try {
      const twin = await promisify(client.getTwin.bind(client))();
      await listens(twin, service);

      // Another connection of the same identity ends it; the SDK comes back by itself and subscribes to no twin topic again.
      const thief = await Wire.open();
      assert.equal((await thief.connect(device)).sessionPresent, true);
      await thief.close();
      // What it would report before it notices is lost, and the SDK waits for ever for the answer: first it is told of something.
      await listens(twin, service);
      const report = promisify(twin.properties.reported.update.bind(twin.properties.reported));
      await report({ back: true });
      const next = new Promise(resolve => twin.on('properties.desired.after', resolve));
      await service.update({ properties: { desired: { after: 1 } } });
      assert.equal(await next, 1);
    } finally {
      await client.close();
    }
  });
}

test('Twin_ChangesOfServices_AreInTheTrail', deadline, async () => {
  const { client, service, device } = await open('mqtt');
  await service.update({ tags: { a: 1 } });
  await client.close();
  const trail = await hub.cliJson(['audit', 'list', '--action', 'device twin-update']);
  assert.ok(trail.some(entry => entry.target === device.deviceId && entry.result === 'done'));
});

test('Twin_HubKilled_KeepsWhatItAnswered', deadline, async () => {
  const { client, service } = await open('mqtt');
  const twin = await promisify(client.getTwin.bind(client))();
  const report = promisify(twin.properties.reported.update.bind(twin.properties.reported));
  for (let n = 1; n <= 20; n++)
    await report({ n });
  await service.update({ properties: { desired: { n: 7 } } });
  await hub.kill9();
  await hub.start();

  const { properties: { desired, reported } } = await service.get();
  assert.deepEqual([reported.n, reported.$version, desired.n], [20, 21, 7]);
  await report({ n: 21 });
  assert.equal((await service.get()).properties.reported.n, 21);
  await client.close();
});

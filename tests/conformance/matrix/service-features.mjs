// What a service does with a hub, over each transport that carries it: one row of the matrix each.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import { promisify } from 'node:util';
import iotCommon from 'azure-iot-common';
import iotDevice from 'azure-iot-device';
import iotMqtt from 'azure-iot-device-mqtt';
import iothub from 'azure-iothub';
import { consumer, read, deviceOf } from '../eventhubs.mjs';
import { startAccount } from '../blobs.mjs';
import * as hub from '../hub.mjs';
import { close, listen } from './device-features.mjs';
import { unique, until } from './world.mjs';

export const transports = { https: { name: 'HTTPS' }, amqp: { name: 'AMQP', of: iothub.Amqp, carrier: 'tls' }, 'amqp-ws': { name: 'AMQP over WebSocket', of: iothub.AmqpWs, carrier: 'ws' } };

const amqpOnly = { https: 'IoT Hub carries this over AMQP alone' };
const httpsOnly = { amqp: 'IoT Hub carries this over HTTPS alone', 'amqp-ws': 'IoT Hub carries this over HTTPS alone' };

async function client({ of }) {
  const made = iothub.Client.fromConnectionString(hub.endpoints().serviceConnectionString, of);
  await made.open();
  return made;
}

/** Runs the act with a device that is connected over MQTT. */
async function withDevice(act) {
  const device = await hub.device('served');
  const made = iotDevice.Client.fromConnectionString(device.connectionString, iotMqtt.Mqtt);
  await made.open();
  try {
    await act(device, made);
  } finally {
    await close(made);
  }
}

export const features = [
  {
    name: 'registry: create, read, update, list, delete', absent: httpsOnly,
    async act({ registry }) {
      const deviceId = unique('registered');
      const { responseBody: created } = await registry.create({ deviceId });
      const { responseBody: updated } = await registry.update({ ...created, status: 'disabled' });
      assert.equal((await registry.get(deviceId)).responseBody.etag, updated.etag);
      assert.ok(Array.isArray((await registry.list()).responseBody));
      await registry.delete(deviceId);
      await assert.rejects(registry.get(deviceId), error => error.constructor.name === 'DeviceNotFoundError');
    },
  },
  {
    name: 'registry: in bulk', absent: httpsOnly,
    async act({ registry }) {
      const devices = [1, 2, 3].map(() => ({ deviceId: unique('bulk') }));
      assert.equal((await registry.addDevices(devices)).responseBody.isSuccessful, true);
      assert.equal((await registry.updateDevices(devices.map(device => ({ ...device, status: 'disabled' })), true)).responseBody.isSuccessful, true);
      assert.equal((await registry.removeDevices(devices, true)).responseBody.isSuccessful, true);
    },
  },
  {
    name: 'modules of a device, with ETag', absent: httpsOnly,
    async act({ registry }) {
      const { deviceId } = await hub.device('with-modules');
      await registry.addModule({ deviceId, moduleId: 'm1' });
      const { responseBody: module } = await registry.addModule({ deviceId, moduleId: 'm2' });
      await registry.updateModule({ ...module, managedBy: 'a' });
      await assert.rejects(registry.updateModule({ ...module, managedBy: 'b' }), error => error.constructor.name === 'InvalidEtagError');
      await registry.removeModule(deviceId, 'm1');
      assert.deepEqual((await registry.getModulesOnDevice(deviceId)).responseBody.map(module => module.moduleId), ['m2']);
    },
  },
  {
    name: 'twins: tags, desired properties, replacement, ETag', absent: httpsOnly,
    async act({ registry }) {
      const { deviceId } = await hub.device('twinned');
      const { responseBody: first } = await registry.updateTwin(deviceId, { tags: { site: 'a' }, properties: { desired: { t: 1 } } }, '*');
      await assert.rejects(registry.updateTwin(deviceId, { tags: { site: 'b' } }, 'AAAAAAAAAAE='), error => error.constructor.name === 'InvalidEtagError');
      await registry.updateTwin(deviceId, { tags: { site: null } }, first.etag);
      const twin = (await registry.getTwin(deviceId)).responseBody;
      assert.deepEqual([twin.tags, twin.properties.desired.t], [{}, 1]);
      const { responseBody: replaced } = await registry.updateTwin(deviceId, { properties: { desired: { t: null, u: 2 } } }, '*');
      assert.deepEqual([replaced.properties.desired.t, replaced.properties.desired.u], [undefined, 2]);
    },
  },
  {
    name: 'queries', absent: httpsOnly,
    async act({ registry }) {
      const { deviceId } = await hub.device('queried');
      const tag = unique('tag');
      await registry.updateTwin(deviceId, { tags: { tag } }, '*');
      const { result } = await registry.createQuery(`SELECT * FROM devices WHERE tags.tag = '${tag}'`).nextAsTwin();
      assert.deepEqual(result.map(twin => twin.deviceId), [deviceId]);
    },
  },
  {
    name: 'direct methods', absent: httpsOnly,
    act: ({ service }) => withDevice(async (device, made) => {
      made.onDeviceMethod('add', (request, response) => hub.answer(response, 200, request.payload.a + request.payload.b));
      const { result } = await service.invokeDeviceMethod(device.deviceId, { methodName: 'add', payload: { a: 1, b: 2 }, connectTimeoutInSeconds: 20 });
      assert.deepEqual(result, { status: 200, payload: 3 });
    }),
  },
  {
    name: 'digital twins', absent: httpsOnly,
    async act({ digitalTwins }) {
      const { deviceId } = await hub.device('digital');
      await digitalTwins.updateDigitalTwin(deviceId, [{ op: 'add', path: '/interval', value: 5 }]);
      assert.equal((await digitalTwins.getDigitalTwin(deviceId)).$metadata.interval.desiredValue, 5);
    },
  },
  {
    name: 'commands sent', absent: amqpOnly,
    act: (world, transport) => withDevice(async (device, made) => {
      const sender = await client(transport);
      const text = unique('sent');
      await sender.send(device.deviceId, new iotCommon.Message(text));
      assert.equal((await listen(made).next()).getData().toString(), text);
      await close(sender);
    }),
  },
  {
    name: 'feedback received', absent: amqpOnly,
    act: (world, transport) => withDevice(async (device, made) => {
      const sender = await client(transport);
      const receiver = await promisify(sender.getFeedbackReceiver.bind(sender))();
      const message = new iotCommon.Message('x');
      message.messageId = unique('acknowledged');
      message.ack = 'positive';
      // A batch goes to one receiver, and that of the world listens too.
      const told = Promise.race([
        new Promise(resolve => receiver.on('message', batch => resolve(JSON.parse(batch.data.toString()).find(record => record.originalMessageId === message.messageId)))),
        world.feedbackOf(message.messageId),
      ]);
      await sender.send(device.deviceId, message);
      await made.complete(await listen(made).next());
      assert.equal((await told).statusCode, 'Success');
      await close(sender);
    }),
  },
  {
    name: 'waiting commands taken away', absent: httpsOnly,
    async act({ service }) {
      const { deviceId } = await hub.device('purged');
      await service.send(deviceId, new iotCommon.Message('x'));
      const { status, text } = await hub.request('DELETE', `/devices/${deviceId}/commands?api-version=2021-04-12`);
      assert.deepEqual([status, JSON.parse(text).totalMessagesPurged], [200, 1]);
    },
  },
  {
    name: 'events read (`@azure/event-hubs`)', absent: amqpOnly,
    act: (world, { carrier }) => withDevice(async (device, made) => {
      const began = Date.now() - 1000;
      await made.sendEvent(new iotDevice.Message(randomBytes(4).toString('hex')));
      const reader = consumer({ carrier });
      await read(reader, events => events.some(event => deviceOf(event) === device.deviceId), { startPosition: { enqueuedOn: began } });
      await reader.close();
    }),
  },
  {
    name: 'file upload notifications', absent: amqpOnly,
    act: (world, transport) => withDevice(async (device, made) => {
      const told = await client(transport);
      const receiver = await promisify(told.getFileNotificationReceiver.bind(told))();
      const blobName = `${device.deviceId}/${unique('file')}`;
      // A notification goes to one receiver, and that of the world listens too.
      const notified = Promise.race([
        new Promise(resolve => receiver.on('message', message => { const file = JSON.parse(message.data.toString()); if (file.blobName === blobName) resolve(file); })),
        world.fileOf(blobName),
      ]);
      await made.uploadToBlob(blobName.slice(device.deviceId.length + 1), Readable.from([Buffer.from('x')]), 1);
      assert.equal((await notified).blobSizeInBytes, 1);
      await close(told);
    }),
  },
  {
    name: 'jobs', absent: httpsOnly,
    async act({ registry }) {
      const { deviceId } = await hub.device('of-a-job');
      const [jobs, jobId] = [iothub.JobClient.fromConnectionString(hub.endpoints().serviceConnectionString), unique('job')];
      await jobs.scheduleTwinUpdate(jobId, `deviceId = '${deviceId}'`, { etag: '*', tags: { season: 'winter' } }, new Date(), 300);
      await until('the job is completed', async () => (await jobs.getJob(jobId)).jobStatus.status === 'completed');
      assert.equal((await registry.getTwin(deviceId)).responseBody.tags.season, 'winter');
    },
  },
  {
    name: 'automatic configurations', absent: httpsOnly,
    act: ({ registry }) => withDevice(async ({ deviceId }, made) => {
      // The device asks, as often as it takes.
      const sees = async isRight => {
        for (;;) {
          const { properties: { desired } } = await promisify(made.getTwin.bind(made))();
          if (isRight(desired)) return;
          await new Promise(resolve => setTimeout(resolve, 20));
        }
      };
      const id = unique('configured');
      await registry.addConfiguration({ id, content: { deviceContent: { 'properties.desired.fan.speed': 7 } }, targetCondition: `deviceId = '${deviceId}'`, priority: 1 });
      await sees(desired => desired.fan?.speed === 7);
      assert.equal((await registry.getConfiguration(id)).responseBody.systemMetrics.results.appliedCount, 1);
      await registry.removeConfiguration(id);
      await sees(desired => desired.fan === undefined);
      await registry.applyConfigurationContentOnDevice(deviceId, { deviceContent: { 'properties.desired.fan.speed': 8 } });
      await sees(desired => desired.fan?.speed === 8);
    }),
  },
  {
    name: 'import and export of the registry', absent: httpsOnly,
    async act({ registry }) {
      const account = await startAccount();
      try {
        const { sas, read: text, write } = await account.container('matrix');
        const ended = async ({ jobId }) => until('the job has ended', async () => {
          const job = await registry.getJob(jobId);
          return ['completed', 'failed', 'cancelled'].includes(job.status) && job;
        });
        const id = unique('imported');
        await write('devices.txt', `${JSON.stringify({ id, importMode: 'create', tags: { site: 'north' } })}\r\n`);
        assert.equal((await ended(await registry.importDevicesFromBlob(sas, sas))).status, 'completed');
        assert.equal((await registry.getTwin(id)).responseBody.tags.site, 'north');
        assert.equal((await ended(await registry.exportDevicesToBlob(sas, false))).status, 'completed');
        assert.ok((await text('devices.txt')).includes(`"id":"${id}"`));
      } finally {
        await account.stop();
      }
    },
  },
];

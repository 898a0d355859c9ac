// File upload: azure-iot-device asks for a URI, writes a file to it and reports; azure-iothub is told; the file is what was sent.
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import https from 'node:https';
import { Readable } from 'node:stream';
import { after, before, test as untimed } from 'node:test';
import * as storage from '@azure/storage-blob';
import device from 'azure-iot-device';
import { Amqp, AmqpWs } from 'azure-iot-device-amqp';
import { Http } from 'azure-iot-device-http';
import { Mqtt, MqttWs } from 'azure-iot-device-mqtt';
import iothub from 'azure-iothub';
import * as hub from './hub.mjs';

// What does not come never comes: a test ends at its deadline.
const test = (name, act, timeout = 60_000) => untimed(name, { timeout }, act);
const transports = { mqtt: Mqtt, 'mqtt-ws': MqttWs, amqp: Amqp, 'amqp-ws': AmqpWs, https: Http };
const told = new Map();
const waiting = new Map();
let service;

before(async () => {
  const { ownerConnectionString } = await hub.start();
  service = iothub.Client.fromConnectionString(ownerConnectionString, iothub.Amqp);
  await service.open();
  await listen();
});
after(async () => {
  await service.close();
  await hub.stop();
});

/** Takes file notifications as they come; `notified` waits for that of a file. */
async function listen() {
  const receiver = await new Promise((resolve, reject) => service.getFileNotificationReceiver((error, made) => error ? reject(error) : resolve(made)));
  receiver.on('message', message => {
    const notification = JSON.parse(message.data.toString());
    told.set(notification.blobName, notification);
    waiting.get(notification.blobName)?.(notification);
  });
}

const notified = blobName => told.has(blobName) ? told.get(blobName) : new Promise(resolve => waiting.set(blobName, resolve));

/** Reads a file through a URL that the hub hands out to services. */
async function read(deviceId, blobName) {
  const { status, text } = await hub.request('POST', `/manage/v1/devices/${encodeURIComponent(deviceId)}/files/read`, { body: JSON.stringify({ blobName }) });
  assert.equal(status, 200, text);
  return new storage.BlobClient(JSON.parse(text).uri).downloadToBuffer();
}

for (const [name, transport] of Object.entries(transports)) {
  test(`Upload_OfADeviceOver_${name}_ReachesTheHub_AndServicesAreTold`, async () => {
    const { deviceId, connectionString } = await hub.device(`up-${name}`);
    const client = device.Client.fromConnectionString(connectionString, transport);
    const content = randomBytes(10_240);
    await client.open();
    await client.uploadToBlob('dir/b c.bin', Readable.from(content), content.length);
    const notification = await notified(`${deviceId}/dir/b c.bin`);
    assert.equal(notification.deviceId, deviceId);
    assert.equal(notification.blobSizeInBytes, content.length);
    assert.equal(notification.blobUri, `https://${hub.endpoints().hostName}/uploads/${deviceId}/dir/b%20c.bin`);
    assert.ok(Date.parse(notification.enqueuedTimeUtc) > 0 && Date.parse(notification.lastUpdatedTime) > 0);
    assert.deepEqual(await read(deviceId, 'dir/b c.bin'), content);
    await client.close();
  });
}

// Faults that a client asks for, and how Azure's device client comes back from them.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import iotdevice from 'azure-iot-device';
import amqp from 'azure-iot-device-amqp';
import mqtt from 'azure-iot-device-mqtt';
import * as hub from './hub.mjs';

const transports = { mqtt: mqtt.Mqtt, 'mqtt-ws': mqtt.MqttWs, amqp: amqp.Amqp, 'amqp-ws': amqp.AmqpWs };
const deadline = { timeout: 60_000 };

before(() => hub.start('--enable-insecure-fault-injection'));
after(hub.stop);

function asking(kind) {
  const message = new iotdevice.Message(JSON.stringify({ asks: kind }));
  message.properties.add('AzIoTHub_FaultOperationType', kind);
  message.properties.add('AzIoTHub_FaultOperationCloseReason', 'boom');
  message.properties.add('AzIoTHub_FaultOperationDelayInSecs', '1');
  message.properties.add('AzIoTHub_FaultOperationDurationInSecs', '2');
  return message;
}

const wait = (until, what) => new Promise((resolve, reject) => {
  const began = Date.now();
  const timer = setInterval(async () => {
    if (await until()) {
      clearInterval(timer);
      resolve();
    } else if (Date.now() - began > 30_000) {
      clearInterval(timer);
      reject(new Error(`not within 30 s: ${what}`));
    }
  }, 50);
});

async function ends(deviceId) {
  const { text } = await hub.request('GET', `/manage/v1/devices/${deviceId}/diagnosis`);
  return JSON.parse(text).attempts.filter(attempt => attempt.reason?.startsWith('injected fault'));
}

for (const [transport, kinds] of Object.entries({
  mqtt: ['KillTcp', 'ShutDownMqtt'], 'mqtt-ws': ['KillTcp'], amqp: ['KillTcp', 'KillAmqpD2CLink', 'ShutDownAmqp'], 'amqp-ws': ['KillTcp'],
})) {
  for (const kind of kinds) {
    test(`${kind}_Over_${transport}_IsAcknowledged_AndTheClientSendsOn`, deadline, async () => {
      const { deviceId, connectionString } = await hub.device(`fault-${transport}`);
      const client = iotdevice.Client.fromConnectionString(connectionString, transports[transport]);
      client.on('error', () => {});
      await client.open();
      await client.sendEvent(asking(kind));
      await wait(async () => (await ends(deviceId)).length === 1, `${kind} in the diagnosis`);

      await client.sendEvent(new iotdevice.Message('"back"'));
      await wait(async () => (await hub.events(deviceId)).length === 2, 'both messages');
      client.removeAllListeners();
      await client.close().catch(() => {});
    });
  }
}

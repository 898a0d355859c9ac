import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import iotDevice from 'azure-iot-device';
import iotAmqp from 'azure-iot-device-amqp';
import iotHttp from 'azure-iot-device-http';
import iotMqtt from 'azure-iot-device-mqtt';
import * as hub from './hub.mjs';

const { Client, Message } = iotDevice;
const transports = { mqtt: iotMqtt.Mqtt, 'mqtt-ws': iotMqtt.MqttWs, https: iotHttp.Http, amqp: iotAmqp.Amqp, 'amqp-ws': iotAmqp.AmqpWs };

before(() => hub.start());
after(hub.stop);

function reading(n) {
  const message = new Message(JSON.stringify({ n, temperature: 20 + n / 10 }));
  message.messageId = `m-${n}`;
  message.correlationId = 'run/1 & only';
  message.contentType = 'application/json';
  message.contentEncoding = 'utf-8';
  message.properties.add('sensor id', 'a/b=c&d%e');
  message.properties.add('emptied', '');
  return message;
}

for (const [name, transport] of Object.entries(transports)) {
  test(`Telemetry_Over_${name}_ArrivesWholeAndInOrder`, async () => {
    const { deviceId, connectionString } = await hub.device(name);
    const client = Client.fromConnectionString(connectionString, transport);
    await client.open();
    for (let n = 0; n < 25; n++) await client.sendEvent(name === 'https' ? withoutSpaces(reading(n)) : reading(n));
    await client.close();

    const arrived = await hub.events(deviceId);
    assert.deepEqual(arrived.map(event => event.body.n), Array.from({ length: 25 }, (_, n) => n));
    const [first] = arrived;
    assert.equal(first.deviceId, deviceId);
    assert.equal(first.systemProperties['message-id'], 'm-0');
    assert.equal(first.systemProperties['correlation-id'], 'run/1 & only');
    assert.equal(first.systemProperties['content-type'], 'application/json');
    assert.equal(first.annotations['iothub-connection-device-id'], deviceId);
    assert.equal(first.annotations['iothub-message-source'], 'Telemetry');
    if (name !== 'https') {
      assert.equal(first.properties['sensor id'], 'a/b=c&d%e');
      assert.equal(first.properties.emptied, '');
    }
  });
}

function withoutSpaces(message) {
  message.properties.propertyList.length = 0;
  message.properties.add('sensor', 'a');
  return message;
}

test('Telemetry_Of200InFlight_IsAllAcknowledgedAndInOrder', async () => {
  const { deviceId, connectionString } = await hub.device('window');
  const client = Client.fromConnectionString(connectionString, iotMqtt.Mqtt);
  await client.open();
  await Promise.all(Array.from({ length: 200 }, (_, n) => client.sendEvent(new Message(JSON.stringify({ n })))));
  await client.close();
  assert.deepEqual((await hub.events(deviceId)).map(event => event.body.n), Array.from({ length: 200 }, (_, n) => n));
});

test('Telemetry_BinaryBody_ComesBackAsBase64', async () => {
  const { deviceId, connectionString } = await hub.device('binary');
  const client = Client.fromConnectionString(connectionString, iotMqtt.Mqtt);
  await client.open();
  await client.sendEvent(new Message(Buffer.from([0xff, 0x00, 0xfe])));
  await client.close();
  const [event] = await hub.events(deviceId);
  assert.equal(event.bodyEncoding, 'base64');
  assert.equal(event.body, '/wD+');
});

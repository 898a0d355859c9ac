import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import iotCommon from 'azure-iot-common';
import iotDevice from 'azure-iot-device';
import iotAmqp from 'azure-iot-device-amqp';
import iotHttp from 'azure-iot-device-http';
import iotMqtt from 'azure-iot-device-mqtt';
import * as hub from './hub.mjs';

const { Client, Message } = iotDevice;
const transports = { mqtt: iotMqtt.Mqtt, 'mqtt-ws': iotMqtt.MqttWs, https: iotHttp.Http, amqp: iotAmqp.Amqp, 'amqp-ws': iotAmqp.AmqpWs };

before(() => hub.start());
after(hub.stop);

const isUnauthorized = error => error.name === 'UnauthorizedError' || error.constructor.name === 'UnauthorizedError';

async function send(client) {
  try {
    await client.open();
    await client.sendEvent(new Message('{}'));
  } finally {
    client.removeAllListeners();
    await client.close().catch(() => {});
  }
}

for (const [name, transport] of Object.entries(transports)) {
  test(`Device_WithExpiredTokenOver_${name}_IsUnauthorized`, async () => {
    const { deviceId, hostName, key } = await hub.device('expired');
    const token = hub.sas(`${hostName}/devices/${deviceId}`, key, { seconds: -3600 });
    await assert.rejects(send(Client.fromSharedAccessSignature(token, transport)), isUnauthorized);
    assert.equal((await hub.events(deviceId)).length, 0);
  });

  test(`Device_WithTokenOfAnotherOver_${name}_IsUnauthorized`, async () => {
    const victim = await hub.device('victim');
    const thief = await hub.device('thief');
    const token = hub.sas(`${victim.hostName}/devices/${victim.deviceId}`, thief.key);
    await assert.rejects(send(Client.fromSharedAccessSignature(token, transport)), isUnauthorized);
    assert.equal((await hub.events(victim.deviceId)).length, 0);
  });
}

for (const name of ['mqtt', 'mqtt-ws', 'amqp', 'amqp-ws']) {
  test(`Device_UnknownOver_${name}_IsUnauthorized`, async () => {
    const { hostName, key } = await hub.device('known');
    await assert.rejects(send(Client.fromConnectionString(`HostName=${hostName};DeviceId=nobody;SharedAccessKey=${key}`, transports[name])), isUnauthorized);
  });

  test(`Device_DisabledOver_${name}_IsUnauthorized`, async () => {
    const { deviceId, connectionString } = await hub.device('disabled');
    await hub.cliJson(['device-identity', 'update', '-d', deviceId, '--status', 'disabled']);
    await assert.rejects(send(Client.fromConnectionString(connectionString, transports[name])), isUnauthorized);
  });
}

test('Device_WithSecondaryKey_IsLetIn', async () => {
  const { deviceId, hostName } = await hub.device('secondary');
  const { authentication } = await hub.cliJson(['device-identity', 'show', '-d', deviceId]);
  await send(Client.fromConnectionString(
    `HostName=${hostName};DeviceId=${deviceId};SharedAccessKey=${authentication.symmetricKey.secondaryKey}`, iotMqtt.Mqtt));
});

test('Device_AfterRenewKey_OldKeyIsRefusedAndNewLetIn', async () => {
  const { deviceId, connectionString } = await hub.device('renewed');
  await hub.cliJson(['device-identity', 'renew-key', '-d', deviceId, '--key-type', 'primary']);
  await assert.rejects(send(Client.fromConnectionString(connectionString, iotMqtt.Mqtt)), isUnauthorized);
  const renewed = await hub.cliJson(['device-identity', 'connection-string', 'show', '-d', deviceId]);
  await send(Client.fromConnectionString(renewed.connectionString, iotMqtt.Mqtt));
});

test('Device_ConnectsTwice_NewerWins', async () => {
  const { deviceId, connectionString } = await hub.device('twice');
  const older = Client.fromConnectionString(connectionString, iotMqtt.Mqtt);
  older.setRetryPolicy(new iotCommon.NoRetry());
  await older.open();
  const cut = new Promise(resolve => older.once('disconnect', resolve));
  const newer = Client.fromConnectionString(connectionString, iotMqtt.Mqtt);
  await newer.open();
  await cut;
  await newer.sendEvent(new Message('{"by":"newer"}'));
  await newer.close();
  older.removeAllListeners();
  await older.close().catch(() => {});
  assert.deepEqual((await hub.events(deviceId)).map(event => event.body.by), ['newer']);
});

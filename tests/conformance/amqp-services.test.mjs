// The service client over AMQP: what it attaches is authorised. What it sends and is told: commands.test.mjs.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import iothub from 'azure-iothub';
import * as hub from './hub.mjs';

const { Client } = iothub;
const transports = { amqp: iothub.Amqp, 'amqp-ws': iothub.AmqpWs };
const deadline = { timeout: 60_000 };

before(() => hub.start());
after(hub.stop);

const connectionString = (policy, key) => `HostName=${hub.endpoints().hostName};SharedAccessKeyName=${policy};SharedAccessKey=${key}`;
const isUnauthorized = error => error.name === 'UnauthorizedError' || error.constructor.name === 'UnauthorizedError';

for (const [name, transport] of Object.entries(transports)) {
  test(`Service_Over_${name}_AttachesItsReceivers_AndSendsCommands`, deadline, async () => {
    const { deviceId } = await hub.device('commanded');
    const client = Client.fromConnectionString(hub.endpoints().serviceConnectionString, transport);
    await client.open();
    const heard = [];
    for (const get of ['getFeedbackReceiver', 'getFileNotificationReceiver']) {
      const receiver = await new Promise((resolve, reject) => client[get]((error, receiver) => error ? reject(error) : resolve(receiver)));
      for (const name of ['error', 'message']) receiver.on(name, what => heard.push(what));
    }

    for (let n = 0; n < 3; n++) await client.send(deviceId, JSON.stringify({ n }));
    assert.equal((await hub.cliJson(['device', 'c2d-message', 'list', '-d', deviceId])).length, 3);
    assert.deepEqual(heard, []);
    await client.close();
  });

  test(`Service_WithAWrongKeyOver_${name}_IsUnauthorized`, deadline, async () => {
    const client = Client.fromConnectionString(connectionString('service', Buffer.alloc(32, 1).toString('base64')), transport);
    await assert.rejects(client.open(), error => isUnauthorized(error.amqpError));
  });

  test(`Service_WhosePolicyMayNotSendCommandsOver_${name}_IsUnauthorizedAtTheLink`, deadline, async () => {
    const { primaryKey } = await hub.cliJson(['policy', 'create', '-n', `reads-only-${name}`, '--permissions', 'RegistryRead']);
    const client = Client.fromConnectionString(connectionString(`reads-only-${name}`, primaryKey), transport);
    await client.open();
    await assert.rejects(client.send('d', 'x'), isUnauthorized);
    client.removeAllListeners();
    client.close().catch(() => {});
  });
}

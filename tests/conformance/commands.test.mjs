// Cloud-to-device messages: what azure-iothub sends over AMQP, azure-iot-device gets over each transport, and what it makes of it.
import assert from 'node:assert/strict';
import { after, before, test as untimed } from 'node:test';
import common from 'azure-iot-common';
import device from 'azure-iot-device';
import { Amqp, AmqpWs } from 'azure-iot-device-amqp';
import { Http } from 'azure-iot-device-http';
import { Mqtt, MqttWs } from 'azure-iot-device-mqtt';
import iothub from 'azure-iothub';
import * as hub from './hub.mjs';

// What does not come never comes: a test ends at its deadline.
const test = (name, act) => untimed(name, { timeout: 60_000 }, act);
const transports = { mqtt: Mqtt, 'mqtt-ws': MqttWs, amqp: Amqp, 'amqp-ws': AmqpWs, https: Http };
const services = { amqp: iothub.Amqp, 'amqp-ws': iothub.AmqpWs };
const senders = {};
const properties = { plain: 'v', 'key one': 'a/b=c&d', percent: '%41+ +', 'ü€😀': 'ß/😀', quote: '"\'#?$', long: 'x'.repeat(1000) };

before(async () => {
  const { ownerConnectionString } = await hub.start();
  for (const name of Object.keys(services)) {
    senders[name] = iothub.Client.fromConnectionString(ownerConnectionString, services[name]);
    await senders[name].open();
  }
});
after(async () => {
  for (const sender of Object.values(senders)) await sender.close();
  await hub.stop();
});

function message(body, { id = body, ack, properties = {}, expiry } = {}) {
  const made = new common.Message(body);
  made.messageId = id;
  if (ack) made.ack = ack;
  if (expiry) made.expiryTimeUtc = expiry;
  for (const [name, value] of Object.entries(properties)) made.properties.add(name, value);
  return made;
}

/** Opens a device; answers { client, next() } where next waits for its next command. */
async function listening(connectionString, transport) {
  const client = device.Client.fromConnectionString(connectionString, transport);
  const came = [];
  const waiting = [];
  await client.open();
  client.on('message', command => waiting.length ? waiting.shift()(command) : came.push(command));
  client.on('error', () => {});
  return { client, next: () => came.length ? Promise.resolve(came.shift()) : new Promise(resolve => waiting.push(resolve)) };
}

/** Registers a device of this name; answers its connection string. */
async function register(id) {
  await hub.cliJson(['device-identity', 'create', '-d', id]);
  return (await hub.cliJson(['device-identity', 'connection-string', 'show', '-d', id])).connectionString;
}

const waiting = id => hub.cliJson(['device', 'c2d-message', 'list', '-d', id]);

/** Asks again until it is so. */
async function until(what, ask) {
  for (let turn = 0; turn < 200; turn++) {
    if (await ask()) return;
    await new Promise(resolve => setTimeout(resolve, 50));
  }
  assert.fail(what);
}

for (const [name, transport] of Object.entries(transports)) {
  test(`Command_WithEveryProperty_ReachesADeviceOver_${name}_AsItWasSent`, async () => {
    const id = `c2d-exact-${name}`;
    const { client, next } = await listening(await register(id), transport);
    // Over HTTPS this SDK makes a text of the body.
    const body = Buffer.from(Array.from({ length: name === 'https' ? 128 : 256 }, (_, byte) => byte));
    const sent = message(body, { id: 'm/1&=%20+~', ack: 'full', properties });
    Object.assign(sent, { correlationId: 'c 1/2', contentType: 'application/octet-stream', contentEncoding: 'gzip' });
    await senders.amqp.send(id, sent);
    const command = await next();
    assert.deepEqual(Buffer.from(command.getData()), body);
    assert.equal(command.messageId, 'm/1&=%20+~');
    assert.equal(command.correlationId, 'c 1/2');
    const came = Object.fromEntries(command.properties.propertyList.map(({ key, value }) => [key, value]));
    if (name === 'https') {
      // The SDK keeps the prefix and all that comes in headers, which hold ASCII only.
      for (const [key, value] of Object.entries(properties)) {
        if (/^[!-~ ]*$/.test(key + value)) assert.equal(came[`iothub-app-${key.replace(/[ ]/g, '%20').toLowerCase()}`], value);
      }
    } else {
      assert.deepEqual(came, name.startsWith('amqp') ? properties : { 'iothub-ack': 'full', ...properties });
      assert.equal(command.contentType, 'application/octet-stream');
      assert.equal(command.contentEncoding, 'gzip');
    }
    await client.complete(command);
    await client.close();
  });
}

test('Command_Rejected_IsDead_AndMayBeSentAgain', async () => {
  const id = 'c2d-settle';
  const { client, next } = await listening(await register(id), Amqp);
  await senders.amqp.send(id, message('again'));
  await client.abandon(await next());
  await client.reject(await next());
  await until('it is dead', async () => (await hub.cliJson(['device', 'c2d-message', 'list-dead', '-d', id])).length === 1);
  const [dead] = await hub.cliJson(['device', 'c2d-message', 'list-dead', '-d', id]);
  assert.equal(dead.reason, 'rejected');
  assert.equal(dead.deliveryCount, 1);
  await hub.cliJson(['device', 'c2d-message', 'replay', '-d', id, '-n', `${dead.sequence}`]);
  const again = await next();
  assert.equal(again.messageId, 'again');
  await client.complete(again);
  await client.close();
});

test('Command_ToAModule_IsInItsQueue', async () => {
  await register('c2d-module');
  assert.equal((await hub.request('PUT', '/devices/c2d-module/modules/m1?api-version=2021-04-12', { body: '{}' })).status, 200);
  await hub.cliJson(['device', 'c2d-message', 'send', '-d', 'c2d-module', '-m', 'm1', '--body', 'x']);
  assert.equal((await hub.cliJson(['device', 'c2d-message', 'list', '-d', 'c2d-module', '-m', 'm1'])).length, 1);
  assert.equal((await waiting('c2d-module')).length, 0);
});

test('Command_ToNobody_IsDeviceNotFoundError', async () => {
  await assert.rejects(senders.amqp.send('c2d-nobody', message('x')), error => error.constructor.name === 'DeviceNotFoundError' || error.name === 'DeviceNotFoundError');
});

test('Command_LargerThan64KiB_IsMessageTooLargeError_AndTheSenderGoesOn', async () => {
  await register('c2d-large');
  for (const bytes of [65_536, 100_000]) {
    await assert.rejects(senders.amqp.send('c2d-large', new common.Message(Buffer.alloc(bytes))), error => /MessageTooLarge/.test(error.constructor.name + error.name));
  }
  await senders.amqp.send('c2d-large', new common.Message(Buffer.alloc(65_000)));
  assert.deepEqual((await waiting('c2d-large')).map(command => command.sizeBytes > 65_000), [true]);
});

test('Command_ThatWaits_IsCountedInTwinAndRegistry', async () => {
  await register('c2d-counted');
  const registry = iothub.Registry.fromConnectionString(hub.endpoints().ownerConnectionString);
  for (const expected of [0, 1, 2]) {
    assert.equal((await registry.get('c2d-counted')).responseBody.cloudToDeviceMessageCount, expected);
    assert.equal(JSON.parse((await hub.request('GET', '/twins/c2d-counted?api-version=2021-04-12')).text).cloudToDeviceMessageCount, expected);
    await senders.amqp.send('c2d-counted', message(`${expected}`));
  }
});

test('Command_ToAFullQueue_IsDeviceMaximumQueueDepthExceededError', async () => {
  await register('c2d-full');
  for (let i = 0; i < 50; i++) await senders.amqp.send('c2d-full', message(`${i}`));
  await assert.rejects(senders.amqp.send('c2d-full', message('more')), error => /DeviceMaximumQueueDepthExceeded/.test(error.constructor.name + error.name));
  const purged = JSON.parse((await hub.request('DELETE', '/devices/c2d-full/commands?api-version=2021-04-12')).text);
  assert.deepEqual(purged, { totalMessagesPurged: 50, deviceId: 'c2d-full', moduleId: null });
});

test('Command_WhoseTimeIsOver_IsDeadAndNotDelivered', async () => {
  const connectionString = await register('c2d-expired');
  await senders.amqp.send('c2d-expired', message('late', { expiry: Date.now() - 60_000 }));
  await senders.amqp.send('c2d-expired', message('good'));
  const { client, next } = await listening(connectionString, Mqtt);
  assert.equal((await next()).messageId, 'good');
  await until('it is dead', async () => (await hub.cliJson(['device', 'c2d-message', 'list-dead', '-d', 'c2d-expired'])).some(dead => dead.reason === 'expired'));
  await client.close();
});

for (const [name, transport] of Object.entries(transports)) {
  test(`Command_ToAnIdWithPunctuation_FindsItOver_${name}`, async () => {
    // This SDK subscribes over MQTT to nothing with + or # in it.
    const id = `c2d-${name}-%41._*?!(),=@$':${name.startsWith('mqtt') ? '' : '+#'}`;
    const { client, next } = await listening(await register(id), transport);
    await senders.amqp.send(id, message('x'));
    const command = await next();
    assert.equal(command.messageId, 'x');
    await client.complete(command);
    await until('the queue is empty', async () => (await waiting(id)).length === 0);
    await client.close();
  });
}

test('Command_NotSettledWhenTheHubIsKilled_IsDeliveredAgain', async () => {
  const connectionString = await register('c2d-killed');
  await senders.amqp.send('c2d-killed', message('x', { ack: 'full' }));
  const first = await listening(connectionString, Amqp);
  first.client.setRetryPolicy(new common.NoRetry()); // Else it comes back by itself, and takes it.
  assert.equal((await first.next()).messageId, 'x');
  await hub.kill9();
  await hub.start();
  const { client, next } = await listening(connectionString, Amqp);
  const again = await next();
  assert.equal(again.messageId, 'x');
  await client.complete(again);
  await client.close();
  for (const name of Object.keys(senders)) {
    senders[name].close().catch(() => {}); // Of a connection that is gone: it may never answer.
    senders[name] = iothub.Client.fromConnectionString(hub.endpoints().ownerConnectionString, services[name]);
    await senders[name].open();
  }
});

// What devices do over AMQP and AMQP over WebSocket that other transports do not, or do otherwise. What all do alike is in the tables of
// telemetry, access, tokens and certificates.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, test } from 'node:test';
import iotCommon from 'azure-iot-common';
import iotDevice from 'azure-iot-device';
import iotAmqp from 'azure-iot-device-amqp';
import * as hub from './hub.mjs';

const { Client, Message, ModuleClient } = iotDevice;
const { errors, NoRetry } = iotCommon;
const transports = { amqp: iotAmqp.Amqp, 'amqp-ws': iotAmqp.AmqpWs };
const deadline = { timeout: 60_000 };

before(() => hub.start());
after(hub.stop);

const send = (client, n) => client.sendEvent(new Message(JSON.stringify({ n })));
const numbers = async deviceId => (await hub.events(deviceId)).map(event => event.body.n);
const range = count => Array.from({ length: count }, (_, n) => n);

async function close(client) {
  client.removeAllListeners();
  await client.close().catch(() => {});
}

async function state(deviceId) {
  const { text } = await hub.request('GET', `/devices/${deviceId}?api-version=2021-04-12`);
  return JSON.parse(text).connectionState;
}

async function update(deviceId, change) {
  const route = `/devices/${deviceId}?api-version=2021-04-12`;
  const device = JSON.parse((await hub.request('GET', route)).text);
  const { status, text } = await hub.request('PUT', route, { headers: { 'content-type': 'application/json', 'if-match': '*' }, body: JSON.stringify({ ...device, ...change }) });
  assert.equal(status, 200, text);
}

const owner = () => hub.parts(hub.endpoints().ownerConnectionString);

// By what a device or module is let in; X.509 is among the certificates.
const credentials = {
  its_own_key: { of: async () => hub.device('own-key'), method: { scope: 'device', type: 'sas', issuer: 'iothub' } },
  a_key_of_the_hub: {
    of: async () => {
      const device = await hub.device('hub-key');
      const { SharedAccessKey } = owner();
      return { ...device, connectionString: `HostName=${device.hostName};DeviceId=${device.deviceId};SharedAccessKeyName=iothubowner;SharedAccessKey=${SharedAccessKey}` };
    },
    method: { scope: 'hub', type: 'sas', issuer: 'iothub' },
  },
  a_key_of_its_module: {
    of: async () => hub.module((await hub.device('module-key')).deviceId, 'm1'),
    method: { scope: 'module', type: 'sas', issuer: 'iothub' },
  },
};

for (const [name, transport] of Object.entries(transports)) {
  for (const [credential, { of, method }] of Object.entries(credentials)) {
    test(`Telemetry_With_${credential}_Over_${name}_ArrivesWithEveryProperty`, deadline, async () => {
      const { deviceId, moduleId, connectionString } = await of();
      const client = (moduleId ? ModuleClient : Client).fromConnectionString(connectionString, transport);
      const message = new Message('{"temperature":20.5}');
      // Of the kinds of time that a Message takes this SDK can encode only milliseconds.
      const expires = Date.now() + 3_600_000;
      message.messageId = randomUUID();
      message.correlationId = 'run/1 & only';
      message.contentType = 'application/json';
      message.contentEncoding = 'utf-8';
      message.expiryTimeUtc = expires;
      message.setAsSecurityMessage();
      message.properties.add('dt-subject', 'thermostat 1');
      message.properties.add('sensor id', 'a/b=c&d%e');
      message.properties.add('emptied', '');
      message.properties.add('größe', '20 °C 😀');
      await client.open();
      if (moduleId) await client.sendOutputEvent('out 1', message);
      else await client.sendEvent(message);
      await client.close();

      const [event, ...more] = await hub.events(deviceId);
      assert.deepEqual(more, []);
      assert.deepEqual(event.body, { temperature: 20.5 });
      assert.equal(event.deviceId, deviceId);
      assert.equal(event.moduleId ?? undefined, moduleId);
      assert.equal(event.systemProperties['message-id'], message.messageId);
      assert.equal(event.systemProperties['correlation-id'], 'run/1 & only');
      assert.equal(event.systemProperties['content-type'], 'application/json');
      assert.equal(event.systemProperties['content-encoding'], 'utf-8');
      assert.equal(new Date(event.systemProperties['absolute-expiry-time']).getTime(), expires);
      assert.deepEqual(event.properties, {
        'sensor id': 'a/b=c&d%e', emptied: '', größe: '20 °C 😀', ...(moduleId ? { 'iothub-outputname': 'out 1' } : {}),
      });
      assert.equal(event.annotations['iothub-interface-id'], 'urn:azureiot:Security:SecurityAgent:1');
      assert.equal(event.annotations['dt-subject'], 'thermostat 1');
      assert.equal(event.annotations['iothub-message-source'], 'Telemetry');
      assert.equal(event.annotations['iothub-connection-device-id'], deviceId);
      assert.equal(event.annotations['iothub-connection-module-id'], moduleId);
      const { scope, type, issuer } = JSON.parse(event.annotations['iothub-connection-auth-method']);
      assert.deepEqual({ scope, type, issuer }, method);
    });
  }

  test(`Telemetry_Of300InFlightOver_${name}_IsAllAcceptedAndInOrder`, deadline, async () => {
    const { deviceId, connectionString } = await hub.device('window');
    const client = Client.fromConnectionString(connectionString, transport);
    await client.open();
    const outcomes = await Promise.all(range(300).map(n => send(client, n)));
    await client.close();
    assert.ok(outcomes.every(outcome => outcome.constructor.name === 'MessageEnqueued'));
    assert.deepEqual(await numbers(deviceId), range(300));
  });

  test(`Telemetry_Of255KbOver_${name}_Passes_And300KbIsRefusedAsTooLarge`, deadline, async () => {
    const { deviceId, connectionString } = await hub.device('size');
    const client = Client.fromConnectionString(connectionString, transport);
    await client.open();
    await client.sendEvent(new Message(JSON.stringify({ n: 0, filling: 'x'.repeat(255 * 1024 - 32) })));
    await assert.rejects(client.sendEvent(new Message(JSON.stringify({ n: 1, filling: 'x'.repeat(300 * 1024) }))), errors.MessageTooLargeError);
    await send(client, 2);
    await client.close();
    assert.deepEqual(await numbers(deviceId), [0, 2]);
  });

  test(`Token_RenewedOver_${name}_BeforeItEnds_KeepsTheConnectionAndLosesNothing`, deadline, async () => {
    const { deviceId, hostName, key } = await hub.device('renewing');
    const resource = `${hostName}/devices/${deviceId}`;
    // The hub accepts a token five minutes longer than it says.
    const ends = Date.now() + 5000;
    const client = Client.fromSharedAccessSignature(hub.sas(resource, key, { seconds: -300 + 5 }), transport);
    client.setRetryPolicy(new NoRetry());
    let [cuts, connects] = [0, 0];
    client.on('disconnect', () => cuts++);
    client.on('connect', () => connects++);
    await client.open();
    await send(client, 0);
    await client.updateSharedAccessSignature(hub.sas(resource, key));
    let n = 1;
    // Past the end of the first, and the second at which the hub looks for tokens that ended.
    while (Date.now() < ends + 2500) await send(client, n++);
    assert.deepEqual([cuts, connects], [0, 1]);
    await close(client);
    assert.deepEqual(await numbers(deviceId), range(n));
    const { attempts } = await hub.cliJson(['device', 'diagnose', deviceId]);
    assert.equal(attempts.filter(attempt => attempt.outcome === 'admitted').length, 1, JSON.stringify(attempts));
  });

  for (const [act, end, expected] of [
    ['Disabled', deviceId => update(deviceId, { status: 'disabled' }), errors.DeviceNotFoundError],
    ['Deleted', deviceId => hub.request('DELETE', `/devices/${deviceId}?api-version=2021-04-12`, { headers: { 'if-match': '*' } }), errors.DeviceNotFoundError],
    ['GivenNewKeys', deviceId => update(deviceId, { authentication: { type: 'sas', symmetricKey: { primaryKey: randomKey(), secondaryKey: randomKey() } } }), errors.UnauthorizedError],
  ]) {
    test(`Device_${act}WhileConnectedOver_${name}_IsCutWithin2Seconds_AndNotLetInAgain`, deadline, async () => {
      const { deviceId, connectionString } = await hub.device('ended');
      const client = Client.fromConnectionString(connectionString, transport);
      client.setRetryPolicy(new NoRetry());
      await client.open();
      await send(client, 0);
      const cut = new Promise(resolve => client.once('disconnect', resolve));
      await end(deviceId);
      const from = Date.now();
      const { transportObj } = await cut;
      assert.ok(Date.now() - from < 2000);
      assert.ok(transportObj instanceof expected, String(transportObj));
      await assert.rejects(send(client, 1), errors.UnauthorizedError);
      await close(client);
    });
  }

  test(`Device_ConnectsTwiceOver_${name}_NewerWinsOnce_AndNobodyFightsBack`, deadline, async () => {
    const { deviceId, connectionString } = await hub.device('twice');
    const cuts = { older: 0, newer: 0 };
    const [older, newer] = [Client.fromConnectionString(connectionString, transport), Client.fromConnectionString(connectionString, transport)];
    newer.on('disconnect', () => cuts.newer++);
    await older.open();
    await send(older, 0);
    const cut = new Promise(resolve => older.on('disconnect', disconnected => { cuts.older++; resolve(disconnected); }));
    await newer.open();
    await send(newer, 1);
    assert.equal((await cut).transportObj.amqpError.condition, 'amqp:link:stolen');
    for (let n = 2; n < 20; n++) await send(newer, n);
    assert.deepEqual(cuts, { older: 1, newer: 0 });
    await Promise.all([close(older), close(newer)]);
    assert.deepEqual(await numbers(deviceId), range(20));
  });

  test(`Device_ClosingOver_${name}_IsDisconnectedAtOnce_AndMayComeBack`, deadline, async () => {
    const { deviceId, connectionString } = await hub.device('closing');
    const client = Client.fromConnectionString(connectionString, transport);
    await client.open();
    await send(client, 0);
    assert.equal(await state(deviceId), 'Connected');
    assert.equal((await client.close()).constructor.name, 'Disconnected');
    while (await state(deviceId) !== 'Disconnected');
    const again = Client.fromConnectionString(connectionString, transport);
    await again.open();
    await send(again, 1);
    await again.close();
    assert.deepEqual(await numbers(deviceId), [0, 1]);
  });
}

function randomKey() {
  return Buffer.from(randomUUID() + randomUUID()).subarray(0, 32).toString('base64');
}

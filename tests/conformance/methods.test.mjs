// Direct methods, as devices and modules take them over each transport and a service calls them, with IoT Hub's own packages.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import iotDevice from 'azure-iot-device';
import iotAmqp from 'azure-iot-device-amqp';
import iotMqtt from 'azure-iot-device-mqtt';
import iotHub from 'azure-iothub';
import * as hub from './hub.mjs';
import { Wire } from './wire.mjs';

const { Client, ModuleClient } = iotDevice;
const transports = { mqtt: iotMqtt.Mqtt, 'mqtt-ws': iotMqtt.MqttWs, amqp: iotAmqp.Amqp, 'amqp-ws': iotAmqp.AmqpWs };
const payloads = { null: null, text: 'on "off" é €', number: 1.5, object: { a: [1, { b: null }], 'c d': true }, '100 KB': 'x'.repeat(100 * 1024) };
const deadline = { timeout: 60_000 };
let service;

before(async () => {
  await hub.start();
  service = iotHub.Client.fromConnectionString(hub.endpoints().serviceConnectionString);
});
after(hub.stop);

// Listening begins without saying so: the call waits for it.
const call = (methodName, payload, more = {}) => ({ methodName, payload, connectTimeoutInSeconds: 20, responseTimeoutInSeconds: 20, ...more });

async function moduleOf(deviceId, moduleId) {
  await hub.cliJson(['module-identity', 'create', '-d', deviceId, '-m', moduleId]);
  const { connectionString } = await hub.cliJson(['module-identity', 'connection-string', 'show', '-d', deviceId, '-m', moduleId]);
  return connectionString;
}

async function post(route, body) {
  const { status, headers, text } = await hub.request('POST', `${route}?api-version=2021-04-12`, { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) });
  return { status, code: headers['iothub-errorcode'], text };
}

async function close(client) {
  client.removeAllListeners();
  await client.close().catch(() => {});
}

for (const [name, transport] of Object.entries(transports)) {
  test(`Method_Over_${name}_IsAnswered_WhateverItCarries`, deadline, async () => {
    const { deviceId, connectionString } = await hub.device(`method-${name}`);
    const client = Client.fromConnectionString(connectionString, transport);
    await client.open();
    client.onDeviceMethod('echo', (request, response) => hub.answer(response, 207, request.payload));
    for (const [what, payload] of Object.entries(payloads)) {
      const { result } = await service.invokeDeviceMethod(deviceId, call('echo', payload));
      assert.equal(result.status, 207, what);
      assert.deepEqual(result.payload, payload, what);
    }
    await close(client);
  });

  test(`Methods_Over_${name}_TwoAtOnce_AreAnsweredEachForItself`, deadline, async () => {
    const { deviceId, connectionString } = await hub.device(`two-${name}`);
    const client = Client.fromConnectionString(connectionString, transport);
    await client.open();
    const waiting = [];
    client.onDeviceMethod('hold', (request, response) => {
      waiting.push([request, response]);
      if (waiting.length === 2) for (const [asked, answer] of waiting.reverse()) hub.answer(answer, 200, { of: asked.payload });
    });
    const answers = await Promise.all([1, 2].map(n => service.invokeDeviceMethod(deviceId, call('hold', n))));
    assert.deepEqual(answers.map(({ result }) => result.payload), [{ of: 1 }, { of: 2 }]);
    await close(client);
  });

  test(`Method_ThatIsNotAnswered_Over_${name}_Is504101`, deadline, async () => {
    const { deviceId, connectionString } = await hub.device(`silent-${name}`);
    const client = Client.fromConnectionString(connectionString, transport);
    await client.open();
    client.onDeviceMethod('ignore', () => {});
    const { status, code } = await post(`/twins/${deviceId}/methods`, { methodName: 'ignore', connectTimeoutInSeconds: 20, responseTimeoutInSeconds: 5 });
    assert.deepEqual([status, code], [504, 'GatewayTimeout']);
    await assert.rejects(service.invokeDeviceMethod(deviceId, call('ignore', null, { responseTimeoutInSeconds: 5 })), { name: 'GatewayTimeoutError' });
    await close(client);
  });

  test(`Method_OfADeviceThatDoesNotListen_Over_${name}_Is404103`, deadline, async () => {
    const { deviceId, connectionString } = await hub.device(`deaf-${name}`);
    const client = Client.fromConnectionString(connectionString, transport);
    await client.open();
    const { status, code } = await post(`/twins/${deviceId}/methods`, { methodName: 'any', payload: null });
    assert.deepEqual([status, code], [404, 'DeviceNotOnline']);
    await close(client);
  });

  test(`Method_WhenTheDeviceGoes_Over_${name}_EndsAtOnce`, deadline, async () => {
    const { deviceId, connectionString } = await hub.device(`goes-${name}`);
    const client = Client.fromConnectionString(connectionString, transport);
    await client.open();
    const asked = new Promise(resolve => client.onDeviceMethod('leave', resolve));
    const answer = post(`/twins/${deviceId}/methods`, { methodName: 'leave', connectTimeoutInSeconds: 20, responseTimeoutInSeconds: 300 });
    await asked;
    await close(client);
    const { status, code } = await answer;
    assert.deepEqual([status, code], [504, 'GatewayTimeout']);
  });
}

test('Method_OfAModule_IsItsOwn', deadline, async () => {
  const { deviceId } = await hub.device('module');
  const client = ModuleClient.fromConnectionString(await moduleOf(deviceId, 'm1'), iotMqtt.Mqtt);
  await client.open();
  client.onMethod('which', (request, response) => hub.answer(response, 200, 'm1'));
  const { result } = await service.invokeDeviceMethod(deviceId, 'm1', call('which', null));
  assert.deepEqual(result, { status: 200, payload: 'm1' });
  const { status, code } = await post(`/twins/${deviceId}/methods`, { methodName: 'which' });
  assert.deepEqual([status, code], [404, 'DeviceNotOnline']);
  await close(client);
});

test('Method_CalledByAModule_ReachesItsOwnDeviceAlone', deadline, async () => {
  const device = await hub.device('called'), other = await hub.device('other');
  const gateway = `;GatewayHostName=${hub.parts(device.connectionString).HostName}`;
  const caller = ModuleClient.fromConnectionString(await moduleOf(device.deviceId, 'm1') + gateway, iotMqtt.Mqtt);
  const called = Client.fromConnectionString(device.connectionString, iotMqtt.Mqtt);
  await called.open();
  called.onDeviceMethod('echo', (request, response) => hub.answer(response, 207, request.payload));
  const answer = await caller.invokeMethod(device.deviceId, call('echo', { a: 1 }));
  assert.deepEqual(answer, { status: 207, payload: { a: 1 } });
  await assert.rejects(caller.invokeMethod(other.deviceId, call('echo', null)), { name: 'UnauthorizedError' });
  await close(called);
  await close(caller);
});

test('Method_OfADeviceThatIsOffline_Is404103', async () => {
  const { deviceId } = await hub.device('offline');
  const { status, code } = await post(`/twins/${deviceId}/methods`, { methodName: 'any' });
  assert.deepEqual([status, code], [404, 'DeviceNotOnline']);
});

test('Method_OfNobody_IsNotFound', async () => {
  await assert.rejects(service.invokeDeviceMethod('nobody', call('any', null)), { name: 'DeviceNotFoundError' });
});

test('Method_Payload_PassesByteForByte', async () => {
  const device = await hub.device('bytes');
  const wire = await Wire.open();
  await wire.connect(device);
  await wire.subscribe(['$iothub/methods/POST/#', 0]);
  const raw = '{ "a" : 1.0e2,"b":"\\u00e9 2020-01-01T00:00:00.0000000Z" }';
  const answer = hub.request('POST', `/twins/${device.deviceId}/methods?api-version=2021-04-12`, {
    headers: { 'content-type': 'application/json' }, body: `{"methodName":"raw","payload":${raw},"connectTimeoutInSeconds":20}`,
  });
  const asked = await wire.receive();
  assert.equal(asked.payload.toString(), raw);
  await wire.publish(`$iothub/methods/res/-7/${asked.topic.slice(asked.topic.indexOf('?'))}`, raw, { qos: 0 });
  const { status, text } = await answer;
  assert.equal(status, 200);
  assert.equal(text, `{"status":-7,"payload":${raw}}`);
  await wire.close();
});

test('Method_FromTheCommandLine_PrintsTheAnswer', deadline, async () => {
  const { deviceId, connectionString } = await hub.device('cli');
  const client = Client.fromConnectionString(connectionString, iotMqtt.Mqtt);
  await client.open();
  client.onDeviceMethod('add', (request, response) => hub.answer(response, 200, request.payload.a + request.payload.b));
  const answer = await hub.cliJson(['invoke-device-method', '-d', deviceId, '--method-name', 'add', '--method-payload', '{"a":1,"b":2}', '--connect-timeout', '20']);
  assert.deepEqual(answer, { status: 200, payload: 3 });
  await close(client);
});

for (const [what, body, status, code] of [
  ['a name that is none', { methodName: 'a/b' }, 400, 'ArgumentInvalid'],
  ['no name', { payload: 1 }, 400, 'ArgumentInvalid'],
  ['a response time-out of 4 s', { methodName: 'x', responseTimeoutInSeconds: 4 }, 400, 'ArgumentInvalid'],
  ['a connect time-out of 301 s', { methodName: 'x', connectTimeoutInSeconds: 301 }, 400, 'ArgumentInvalid'],
  ['a time-out that is a text', { methodName: 'x', connectTimeoutInSeconds: 'soon' }, 400, 'IotHubFormatError'],
  ['a payload of 129 KB', { methodName: 'x', payload: 'x'.repeat(129 * 1024) }, 413, 'MessageTooLarge'],
]) {
  test(`Method_With ${what}_Is${status}`, async () => {
    const { deviceId } = await hub.device('bad');
    const answer = await post(`/twins/${deviceId}/methods`, body);
    assert.deepEqual([answer.status, answer.code], [status, code]);
  });
}

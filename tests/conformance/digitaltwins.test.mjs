// Digital twins of plug-and-play devices: the DigitalTwinClient of azure-iothub, and a device with components. Each transport is in the matrix.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import iotdevice from 'azure-iot-device';
import mqtt from 'azure-iot-device-mqtt';
import iothub from 'azure-iothub';
import * as hub from './hub.mjs';

const model = 'dtmi:com:example:TemperatureController;1';
const wait = { connectTimeoutInSeconds: 20, responseTimeoutInSeconds: 20 };
const deadline = { timeout: 60_000 };
let service;

before(async () => {
  await hub.start();
  service = new iothub.DigitalTwinClient(new iothub.IoTHubTokenCredentials(hub.endpoints().serviceConnectionString));
});
after(hub.stop);

/** A device that names its model and reports as plug-and-play devices do. */
async function open() {
  const device = await hub.device('dtwin');
  const client = iotdevice.Client.fromConnectionString(device.connectionString, mqtt.Mqtt);
  await client.setOptions({ modelId: model });
  await client.open();
  const twin = await client.getTwin();
  const report = patch => new Promise((resolve, reject) => twin.properties.reported.update(patch, error => (error ? reject(error) : resolve())));
  await report({ serialNumber: 'a1', thermostat1: { __t: 'c', maxTemp: 25.3 } });
  return { device, client, twin, report };
}

// The SDK does not say when it has subscribed: changes something until it is told of it.
async function listens(twin, deviceId) {
  let isTold;
  const told = new Promise(resolve => { isTold = resolve; });
  twin.on('properties.desired', delta => { if (delta.probe) isTold(true); });
  do await service.updateDigitalTwin(deviceId, [{ op: 'add', path: '/probe', value: 1 }]);
  while (!(await Promise.race([told, new Promise(resolve => setTimeout(resolve, 50, false))])));
}

async function close(client) {
  client.removeAllListeners();
  await client.close().catch(() => {});
}

test('DigitalTwin_IsShownAsTheDeviceReports', deadline, async () => {
  const { device, client } = await open();
  const twin = await service.getDigitalTwin(device.deviceId);
  assert.equal(twin.$dtId, device.deviceId);
  assert.equal(twin.$metadata.$model, model);
  assert.equal(twin.serialNumber, 'a1');
  assert.equal(twin.thermostat1.maxTemp, 25.3);
  assert.ok(Date.parse(twin.thermostat1.$metadata.maxTemp.lastUpdateTime) > Date.now() - 60_000);
  assert.match(twin._response.headers.get('etag'), /^"[A-Za-z0-9+/=]{12}"$/);
  await close(client);
});

test('DigitalTwin_IsPatched_ToldToTheDevice_AndAcknowledged', deadline, async () => {
  const { device, client, twin, report } = await open();
  await listens(twin, device.deviceId);
  const told = new Promise(resolve => twin.on('properties.desired', delta => { if (delta.thermostat1) resolve(delta); }));
  const patch = [{ op: 'add', path: '/thermostat1/targetTemperature', value: 21.4 }, { op: 'add', path: '/interval', value: 5 }];
  // The promise is of the body, which there is not.
  const { status, headers } = await new Promise((resolve, reject) =>
    service.updateDigitalTwin(device.deviceId, patch, (error, _, response) => (error ? reject(error) : resolve(response))));
  assert.equal(status, 202);
  assert.match(headers.get('etag'), /^"[A-Za-z0-9+/=]{12}"$/);
  assert.equal(headers.get('location'), `/digitaltwins/${device.deviceId}`);

  const delta = await told;
  assert.deepEqual(delta.thermostat1, { __t: 'c', targetTemperature: 21.4 });
  await report({ thermostat1: { __t: 'c', targetTemperature: { value: 21.4, ac: 200, av: delta.$version, ad: 'done' } } });
  const { thermostat1, $metadata } = await service.getDigitalTwin(device.deviceId);
  assert.equal(thermostat1.targetTemperature, 21.4);
  const { lastUpdateTime, ...metadata } = thermostat1.$metadata.targetTemperature;
  assert.deepEqual(metadata, { desiredValue: 21.4, desiredVersion: delta.$version, ackVersion: delta.$version, ackCode: 200, ackDescription: 'done' });
  assert.deepEqual($metadata.interval, { desiredValue: 5, desiredVersion: delta.$version });
  await close(client);
});

test('Command_OfDeviceAndComponent_IsAnswered', deadline, async () => {
  const { device, client } = await open();
  client.onDeviceMethod('reboot', (request, response) => hub.answer(response, 202, { after: request.payload }));
  client.onDeviceMethod('thermostat1*getMaxMinReport', (request, response) => hub.answer(response, 200, { since: request.payload.since, maxTemp: 25.3 }));

  const root = await service.invokeCommand(device.deviceId, 'reboot', 3, wait);
  assert.equal(root.xMsCommandStatuscode, 202);
  assert.match(root.xMsRequestId, /^[0-9a-f]{32}$/);
  assert.deepEqual(root._response.parsedBody, { after: 3 });
  const component = await service.invokeComponentCommand(device.deviceId, 'thermostat1', 'getMaxMinReport', { since: 'now' }, wait);
  assert.equal(component.xMsCommandStatuscode, 200);
  assert.deepEqual(component._response.parsedBody, { since: 'now', maxTemp: 25.3 });
  await close(client);
});

test('Patch_OfComponents_AddsReplacesAndRemoves', async () => {
  const { deviceId } = await hub.device('dtwin-components');
  await service.updateDigitalTwin(deviceId, [{ op: 'add', path: '/t1', value: { a: 1, b: { c: 2 }, $metadata: {} } }]);
  await service.updateDigitalTwin(deviceId, [{ op: 'replace', path: '/t1', value: { b: { d: 3 }, $metadata: {} } }]);
  let twin = await service.getDigitalTwin(deviceId);
  assert.deepEqual(twin.t1.$metadata.b.desiredValue, { d: 3 });
  assert.equal(twin.t1.$metadata.a, undefined);
  await service.updateDigitalTwin(deviceId, [{ op: 'remove', path: '/t1' }]);
  twin = await service.getDigitalTwin(deviceId);
  assert.equal(twin.t1, undefined);
});

test('Patch_WithAnETag_IsDoneOnce', async () => {
  const { deviceId } = await hub.device('dtwin-etag');
  const etag = (await service.getDigitalTwin(deviceId))._response.headers.get('etag');
  const patch = [{ op: 'add', path: '/n', value: 1 }];
  await service.updateDigitalTwin(deviceId, patch, etag);
  await assert.rejects(service.updateDigitalTwin(deviceId, patch, etag), { statusCode: 412 });
});

for (const [what, patch] of [
  ['what is not there', [{ op: 'remove', path: '/none' }]],
  ['a component that is not there', [{ op: 'add', path: '/none/a', value: 1 }]],
  ['another operation', [{ op: 'copy', from: '/a', path: '/b' }]],
]) {
  test(`Patch_Of ${what}_IsRefused`, async () => {
    const { deviceId } = await hub.device('dtwin-bad');
    await assert.rejects(service.updateDigitalTwin(deviceId, patch), error => error.statusCode === 400 && /ErrorCode:ArgumentInvalid;operation 0/.test(error.message));
  });
}

test('Command_OfADeviceThatIsOffline_Is404103', async () => {
  const { deviceId } = await hub.device('dtwin-offline');
  await assert.rejects(service.invokeCommand(deviceId, 'reboot', {}), error => error.statusCode === 404 && /ErrorCode:DeviceNotOnline/.test(error.message));
});

test('DigitalTwin_OfNobody_IsNotFound', async () => {
  await assert.rejects(service.getDigitalTwin('nobody'), { statusCode: 404 });
});

test('DigitalTwin_FromTheCommandLine', deadline, async () => {
  const { device, client } = await open();
  client.onDeviceMethod('thermostat1*add', (request, response) => hub.answer(response, 207, request.payload.a + request.payload.b));
  const shown = await hub.cliJson(['digital-twin', 'update', '-d', device.deviceId, '--json-patch', '{"op":"add","path":"/thermostat1/target","value":7}']);
  assert.equal(shown.thermostat1.$metadata.target.desiredValue, 7);
  assert.deepEqual(await hub.cliJson(['digital-twin', 'show', '-d', device.deviceId]), shown);
  const answer = await hub.cliJson(['digital-twin', 'invoke-command', '-d', device.deviceId, '--cn', 'add', '--component-path', 'thermostat1', '--payload', '{"a":1,"b":2}', '--cto', '20']);
  assert.deepEqual(answer, { status: 207, payload: 3 });
  await close(client);
});

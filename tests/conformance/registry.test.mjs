import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import iotdevice from 'azure-iot-device';
import mqtt from 'azure-iot-device-mqtt';
import iothub from 'azure-iothub';
import * as hub from './hub.mjs';

const { Client, Message } = iotdevice;
const { Mqtt } = mqtt;
const { Registry } = iothub;
let registry;

before(async () => {
  const { ownerConnectionString } = await hub.start();
  registry = Registry.fromConnectionString(ownerConnectionString);
});
after(hub.stop);

const named = name => candidate => candidate.constructor.name === name || candidate.name === name;

test('Registry_CreateWithoutKeys_GeneratesBoth', async () => {
  const { responseBody: created } = await registry.create({ deviceId: 'r-create' });
  assert.equal(created.status, 'enabled');
  assert.equal(Buffer.from(created.authentication.symmetricKey.primaryKey, 'base64').length, 32);
  assert.notEqual(created.authentication.symmetricKey.primaryKey, created.authentication.symmetricKey.secondaryKey);
  assert.match(created.generationId, /^\d+$/);
  assert.ok(created.etag);
});

test('Registry_CreateTwice_IsDeviceAlreadyExistsError', async () => {
  await registry.create({ deviceId: 'r-twice' });
  await assert.rejects(registry.create({ deviceId: 'r-twice' }), named('DeviceAlreadyExistsError'));
});

test('Registry_GetUnknown_IsDeviceNotFoundError', async () => {
  await assert.rejects(registry.get('r-nobody'), named('DeviceNotFoundError'));
});

test('Registry_UpdateDisables_StatusAndEtagChange', async () => {
  const { responseBody: created } = await registry.create({ deviceId: 'r-update' });
  const { responseBody: updated } = await registry.update({ ...created, status: 'disabled', statusReason: 'in repair' });
  assert.equal(updated.status, 'disabled');
  assert.equal(updated.statusReason, 'in repair');
  assert.notEqual(updated.etag, created.etag);
  assert.equal(updated.generationId, created.generationId);
});

test('Registry_IdWithPunctuation_RoundTrips', async () => {
  const deviceId = "r-%.+_#*?!(),=@$':";
  await registry.create({ deviceId });
  assert.equal((await registry.get(deviceId)).responseBody.deviceId, deviceId);
  await registry.delete(deviceId);
});

test('Registry_Delete_ThenGetIsDeviceNotFoundError', async () => {
  await registry.create({ deviceId: 'r-delete' });
  await registry.delete('r-delete');
  await assert.rejects(registry.get('r-delete'), named('DeviceNotFoundError'));
});

test('Registry_AddUpdateRemoveDevices_ReportsEachItem', async () => {
  const { responseBody: added } = await registry.addDevices([{ deviceId: 'r-bulk-1' }, { deviceId: 'r-bulk-2' }]);
  assert.equal(added.isSuccessful, true);
  await assert.rejects(registry.addDevices([{ deviceId: 'r-bulk-1' }, { deviceId: 'r-bulk-3' }]), error => {
    const body = typeof error.responseBody === 'string' ? JSON.parse(error.responseBody) : error.responseBody;
    assert.equal(body.isSuccessful, false);
    assert.equal(body.errors[0].deviceId, 'r-bulk-1');
    return true;
  });
  const { responseBody: removed } = await registry.removeDevices([{ deviceId: 'r-bulk-1' }, { deviceId: 'r-bulk-2' }], true);
  assert.equal(removed.isSuccessful, true);
});

test('Registry_Modules_CreateListGetDelete', async () => {
  await registry.create({ deviceId: 'r-modules' });
  await registry.addModule({ deviceId: 'r-modules', moduleId: 'm1' });
  await registry.addModule({ deviceId: 'r-modules', moduleId: 'm2' });
  const { responseBody: modules } = await registry.getModulesOnDevice('r-modules');
  assert.deepEqual(modules.map(module => module.moduleId).sort(), ['m1', 'm2']);
  const { responseBody: one } = await registry.getModule('r-modules', 'm1');
  assert.equal(Buffer.from(one.authentication.symmetricKey.primaryKey, 'base64').length, 32);
  await registry.removeModule('r-modules', 'm1');
  assert.equal((await registry.getModulesOnDevice('r-modules')).responseBody.length, 1);
});

test('Registry_ListAndStatistics_CountDevices', async () => {
  await registry.create({ deviceId: 'r-listed' });
  const { responseBody: devices } = await registry.list();
  const { responseBody: statistics } = await registry.getRegistryStatistics();
  assert.ok(devices.some(device => device.deviceId === 'r-listed'));
  assert.equal(statistics.totalDeviceCount, devices.length);
});

test('Registry_PolicyWithoutWrite_IsUnauthorized', async () => {
  const policy = await hub.cliJson(['policy', 'show', '-n', 'registryRead']);
  const readOnly = Registry.fromConnectionString(
    `HostName=${hub.endpoints().hostName};SharedAccessKeyName=registryRead;SharedAccessKey=${policy.primaryKey}`);
  await readOnly.list();
  await assert.rejects(readOnly.create({ deviceId: 'r-forbidden' }), named('UnauthorizedError'));
});

test('Registry_WrongKey_IsUnauthorized', async () => {
  const wrong = Registry.fromConnectionString(
    `HostName=${hub.endpoints().hostName};SharedAccessKeyName=iothubowner;SharedAccessKey=${Buffer.alloc(32, 7).toString('base64')}`);
  await assert.rejects(wrong.list(), named('UnauthorizedError'));
});

test('Registry_DevicesTop_GivesSoMany_AndRefusesNonsense', { timeout: 20_000 }, async () => {
  for (const n of [1, 2, 3]) await registry.create({ deviceId: `r-top-${n}` });
  const two = await hub.request('GET', '/devices?top=2&api-version=2021-04-12');
  assert.equal(JSON.parse(two.text).length, 2);
  for (const top of ['0', '1001', '-1', 'many']) assert.equal((await hub.request('GET', `/devices?top=${top}`)).status, 400, top);
});

test('Registry_KeysRegenerate_OneAndMany_EachPolicyKey', { timeout: 30_000 }, async () => {
  const ids = ['r-keys-1', 'r-keys-2'];
  for (const deviceId of ids) await registry.create({ deviceId });
  await registry.addModule({ deviceId: 'r-keys-1', moduleId: 'm1' });
  const renew = async body => {
    const { status, text } = await hub.request('POST', '/devices/keys/regenerate?api-version=2021-04-12', { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) });
    return { status, ...JSON.parse(text) };
  };
  const keys = async (id, module) => (await (module ? registry.getModule(id, module) : registry.get(id))).responseBody.authentication.symmetricKey;

  const before = await keys('r-keys-1');
  const primary = await renew({ policyKey: 'primary', devices: [{ id: 'r-keys-1' }] });
  assert.equal(primary.status, 200);
  assert.equal(primary.policyKey, 'primary');
  const after = await keys('r-keys-1');
  assert.notEqual(after.primaryKey, before.primaryKey);
  assert.equal(after.secondaryKey, before.secondaryKey);
  assert.deepEqual(primary.rotatedKeys, [{ id: 'r-keys-1', primaryKey: after.primaryKey, secondaryKey: after.secondaryKey }]);

  await renew({ policyKey: 'swap', devices: [{ id: 'r-keys-1' }] });
  assert.deepEqual(await keys('r-keys-1'), { primaryKey: after.secondaryKey, secondaryKey: after.primaryKey });
  await renew({ policyKey: 'both', devices: [{ id: 'r-keys-1' }, { id: 'r-keys-2' }, { id: 'r-keys-1', moduleId: 'm1' }] });
  assert.notEqual((await keys('r-keys-1', 'm1')).primaryKey, undefined);

  const some = await renew({ policyKey: 'secondary', devices: [{ id: 'r-keys-2' }, { id: 'r-keys-nobody' }] });
  assert.equal(some.status, 207);
  assert.deepEqual(some.errors.map(error => [error.id, error.errorCode]), [['r-keys-nobody', 'DeviceNotFound']]);
  assert.equal((await renew({ policyKey: 'primary', devices: [{ id: 'r-keys-nobody' }] })).status, 400);
});

test('Registry_ETags_AreHeldToEverywhere', { timeout: 30_000 }, async () => {
  const { responseBody: device } = await registry.create({ deviceId: 'r-etag' });
  const { responseBody: changed } = await registry.update({ deviceId: 'r-etag', statusReason: 'a' });
  assert.notEqual(changed.etag, device.etag);
  const put = (path, etag, body) => hub.request('PUT', `${path}?api-version=2021-04-12`, { headers: { 'content-type': 'application/json', 'if-match': `"${etag}"` }, body: JSON.stringify(body) });
  const stale = await put('/devices/r-etag', device.etag, { deviceId: 'r-etag', statusReason: 'b' });
  assert.deepEqual([stale.status, stale.headers['iothub-errorcode']], [412, 'PreconditionFailed']);
  assert.equal((await put('/devices/r-etag', changed.etag, { deviceId: 'r-etag', statusReason: 'c' })).status, 200);

  const { responseBody: module } = await registry.addModule({ deviceId: 'r-etag', moduleId: 'm1' });
  await registry.updateModule({ ...module, managedBy: 'me' });
  assert.equal((await put('/devices/r-etag/modules/m1', module.etag, { deviceId: 'r-etag', moduleId: 'm1' })).status, 412);

  const { responseBody: twin } = await registry.getTwin('r-etag');
  await registry.updateTwin('r-etag', { tags: { a: 1 } }, twin.etag);
  await assert.rejects(registry.updateTwin('r-etag', { tags: { a: 2 } }, twin.etag), named('InvalidEtagError'));

  await assert.rejects(registry.updateDevices([{ deviceId: 'r-etag', etag: device.etag, statusReason: 'd' }], false), error => /PreconditionFailed/.test(JSON.stringify(error.responseBody ?? error)));
  const deleted = await hub.request('DELETE', '/devices/r-etag?api-version=2021-04-12', { headers: { 'if-match': `"${device.etag}"` } });
  assert.equal(deleted.status, 412);
  await registry.delete('r-etag');
});

test('Registry_Statistics_CountEnabledDisabledAndConnected', { timeout: 30_000 }, async () => {
  const statistics = async () => ({ ...(await registry.getRegistryStatistics()).responseBody, ...JSON.parse((await hub.request('GET', '/statistics/service?api-version=2021-04-12')).text) });
  const before = await statistics();
  await registry.create({ deviceId: 'r-stat-1' });
  await registry.create({ deviceId: 'r-stat-2', status: 'disabled' });
  const device = await hub.device('r-stat');
  const client = Client.fromConnectionString(device.connectionString, Mqtt);
  await client.open();
  const during = await statistics();
  await client.close();
  assert.deepEqual(during, {
    totalDeviceCount: before.totalDeviceCount + 3, enabledDeviceCount: before.enabledDeviceCount + 2, disabledDeviceCount: before.disabledDeviceCount + 1,
    connectedDeviceCount: before.connectedDeviceCount + 1,
  });
});

test('Registry_ConnectionStateAndLastActivity_AreThoseOfThisMoment_AlsoInQueries', { timeout: 30_000 }, async () => {
  const { deviceId, connectionString } = await hub.device('r-state');
  const now = async () => {
    const { responseBody: device } = await registry.get(deviceId);
    const [row] = JSON.parse((await hub.request('POST', '/devices/query', { headers: { 'content-type': 'application/json' }, body: JSON.stringify({ query: `SELECT * FROM devices WHERE deviceId = '${deviceId}'` }) })).text);
    assert.equal(row.connectionState, device.connectionState);
    assert.equal(row.lastActivityTime.slice(0, 19), device.lastActivityTime.slice(0, 19));
    return device;
  };
  assert.deepEqual([(await now()).connectionState, (await now()).lastActivityTime], ['Disconnected', '0001-01-01T00:00:00Z']);
  const client = Client.fromConnectionString(connectionString, Mqtt);
  await client.open();
  const open = await now();
  assert.equal(open.connectionState, 'Connected');
  assert.ok(Date.parse(open.connectionStateUpdatedTime) > Date.now() - 60_000);
  await client.sendEvent(new Message('x'));
  const sent = await now();
  assert.ok(Date.parse(sent.lastActivityTime) >= Date.parse(open.lastActivityTime));
  const connected = registry.createQuery(`SELECT deviceId FROM devices WHERE connectionState = 'Connected' AND deviceId = '${deviceId}'`);
  assert.equal((await connected.nextAsTwin()).result.length, 1);
  await client.close();
  for (let tries = 0; (await now()).connectionState !== 'Disconnected'; tries++) assert.ok(tries < 100);
});

test('Registry_LifecycleEvents_TellOfDevicesAndModules_InTheirOrder', { timeout: 30_000 }, async () => {
  const deviceId = 'r-life';
  await registry.create({ deviceId });
  await registry.addModule({ deviceId, moduleId: 'm1' });
  await registry.removeModule(deviceId, 'm1');
  await registry.delete(deviceId);
  let events = [];
  for (let tries = 0; events.length < 4; tries++) {
    assert.ok(tries < 200, JSON.stringify(events));
    const { text } = await hub.request('GET', `/manage/v1/changes?from=earliest&follow=false&deviceId=${deviceId}`);
    events = text.split('\n').filter(line => line).map(line => JSON.parse(line)).filter(event => event.source === 'deviceLifecycleEvents');
  }

  assert.deepEqual(events.map(event => [event.properties.opType, event.properties['iothub-message-schema'], event.properties.moduleId ?? null]), [
    ['createDeviceIdentity', 'deviceLifecycleNotification', null], ['createModuleIdentity', 'moduleLifecycleNotification', 'm1'],
    ['deleteModuleIdentity', 'moduleLifecycleNotification', 'm1'], ['deleteDeviceIdentity', 'deviceLifecycleNotification', null],
  ]);
  for (const { properties, body } of events) {
    assert.equal(properties.deviceId, deviceId);
    assert.equal(properties.hubName, hub.endpoints().hostName.split('.')[0]);
    assert.match(properties.operationTimestamp, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d/);
    assert.equal(body.deviceId, deviceId);
    assert.ok(body.etag && body.version && body.properties.desired.$version && body.properties.reported.$version);
  }
});

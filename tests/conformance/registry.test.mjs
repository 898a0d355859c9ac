import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import iothub from 'azure-iothub';
import * as hub from './hub.mjs';

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

// Import and export jobs over a blob container, as IoT Hub's SDKs ask for them.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import iothub from 'azure-iothub';
import { startAccount } from './blobs.mjs';
import * as hub from './hub.mjs';

const { Registry } = iothub;
let account;
let registry;

before(async () => {
  account = await startAccount();
  registry = Registry.fromConnectionString((await hub.start()).ownerConnectionString);
});
after(async () => {
  await hub.stop();
  await account.stop();
});

const key = () => Buffer.from(Array.from({ length: 32 }, () => Math.floor(Math.random() * 256))).toString('base64');

async function ended(job) {
  for (let tries = 0; tries < 400; tries++) {
    const now = await registry.getJob(job.jobId);
    if (['completed', 'failed', 'cancelled'].includes(now.status)) return now;
    await wait(100);
  }

  throw new Error('the job does not end');
}

/** Runs a job once none is under way. */
async function run(begin) {
  for (;;) {
    try {
      return await ended(await begin());
    } catch (error) {
      if (!/JobQuotaExceeded/.test(error.responseBody ?? error.message)) throw error;
      await wait(200);
    }
  }
}

const lines = text => text.split('\r\n').filter(line => line).map(line => JSON.parse(line));

test('Import_OfDevicesTxt_MakesIdentitiesTwinsModulesAndParents', { timeout: 60_000 }, async () => {
  const container = await account.container('import');
  const [leafKey, moduleKey] = [key(), key()];
  await container.write('devices.txt', [
    { id: 'mi-leaf', importMode: 'createOrUpdate', status: 'disabled', statusReason: 'spare', authentication: { type: 'sas', symmetricKey: { primaryKey: leafKey, secondaryKey: key() } },
      deviceScope: 'ms-azure-iot-edge://mi-edge-638000000000000000', tags: { site: 'berlin' }, properties: { desired: { n: 1, $version: 3, $metadata: { $lastUpdated: '2026-01-01T00:00:00Z' } }, reported: { $version: 1 } } },
    { id: 'mi-leaf', moduleId: 'm1', authentication: { type: 'sas', symmetricKey: { primaryKey: moduleKey, secondaryKey: key() } }, tags: { role: 'camera' } },
    { id: 'mi-edge', capabilities: { iotEdge: true }, deviceScope: 'ms-azure-iot-edge://mi-edge-638000000000000000' },
  ].map(line => JSON.stringify(line)).join('\r\n') + '\r\n');

  const job = await run(() => registry.importDevicesFromBlob(container.sas, container.sas));

  assert.equal(job.status, 'completed', job.failureReason);
  assert.equal(job.type, 'import');
  assert.equal(job.progress, 100);
  assert.equal(await container.read('importErrors.log'), '');
  const { responseBody: leaf } = await registry.get('mi-leaf');
  const { responseBody: edge } = await registry.get('mi-edge');
  assert.equal(leaf.authentication.symmetricKey.primaryKey, leafKey);
  assert.deepEqual([leaf.status, leaf.statusReason, leaf.parentScopes], ['disabled', 'spare', [edge.deviceScope]]);
  assert.equal((await registry.getModule('mi-leaf', 'm1')).responseBody.authentication.symmetricKey.primaryKey, moduleKey);
  const { responseBody: twin } = await registry.getTwin('mi-leaf');
  assert.deepEqual([twin.tags.site, twin.properties.desired.n], ['berlin', 1]);
  assert.equal((await registry.getModuleTwin('mi-leaf', 'm1')).responseBody.tags.role, 'camera');
});

test('Import_EveryMode_DoesWhatItSays_AndTheLogSaysWhatItCouldNot', { timeout: 60_000 }, async () => {
  const container = await account.container('modes');
  for (const id of ['mm-old', 'mm-update', 'mm-delete', 'mm-tag', 'mm-etag', 'mm-stale', 'mm-twin-etag']) await registry.create({ deviceId: id });
  const { responseBody: matching } = await registry.get('mm-etag');
  const { responseBody: tagged } = await registry.getTwin('mm-twin-etag');
  await container.write('devices.txt', [
    '{"id":"mm-new","importMode":"create"}',
    '{"id":"mm-old","importMode":"create","tags":{"never":true}}',
    '{"id":"mm-update","importMode":"update","statusReason":"updated"}',
    '{"id":"mm-nobody","importMode":"update"}',
    '{"id":"mm-delete","importMode":"delete"}',
    '{"id":"mm-tag","importMode":"updateTwin","tags":{"t":1}}',
    JSON.stringify({ id: 'mm-etag', importMode: 'updateIfMatchETag', eTag: matching.etag, statusReason: 'matched' }),
    '{"id":"mm-stale","importMode":"deleteIfMatchETag","eTag":"AAAAAAAAAAE="}',
    JSON.stringify({ id: 'mm-twin-etag', importMode: 'updateTwinIfMatchETag', twinETag: tagged.etag, tags: { t: 2 } }),
    'this is no JSON',
    '{"id":"mm-orphan","deviceScope":"ms-azure-iot-edge://mm-missing-1"}',
    '{"id":"no id at all"}',
  ].join('\n'));

  const job = await run(() => registry.importDevicesFromBlob(container.sas, container.sas));

  assert.equal(job.status, 'completed', job.failureReason);
  const errors = lines(await container.read('importErrors.log'));
  assert.deepEqual(errors.map(error => [error.deviceId, error.errorCode]), [
    ['mm-old', 409001], ['mm-nobody', 404001], ['mm-stale', 412001], [undefined, 400012], ['no id at all', 400004], ['mm-orphan', 400004],
  ]);
  assert.equal((await registry.get('mm-new')).responseBody.status, 'enabled');
  assert.equal((await registry.get('mm-update')).responseBody.statusReason, 'updated');
  assert.equal((await registry.get('mm-etag')).responseBody.statusReason, 'matched');
  await assert.rejects(registry.get('mm-delete'));
  assert.equal((await registry.getTwin('mm-tag')).responseBody.tags.t, 1);
  assert.equal((await registry.getTwin('mm-twin-etag')).responseBody.tags.t, 2);
  assert.equal((await registry.getTwin('mm-old')).responseBody.tags?.never, undefined);
  await registry.get('mm-stale');
});

test('Export_ThenImport_BringsTheSameIdentitiesBack', { timeout: 90_000 }, async () => {
  const container = await account.container('export');
  const { responseBody: edge } = await registry.create({ deviceId: 'me-edge', capabilities: { iotEdge: true } });
  const id = "me-%.+_#*?!(),=@$':;";
  const { responseBody: made } = await registry.create({ deviceId: id, deviceScope: edge.deviceScope });
  await registry.addModule({ deviceId: id, moduleId: 'm1' });
  await registry.updateTwin(id, { tags: { ort: 'Köln' }, properties: { desired: { a: { b: [1, 2] } } } }, '*');

  const job = await run(() => registry.exportDevicesToBlob(container.sas, false));
  assert.equal(job.status, 'completed', job.failureReason);
  const exported = lines(await container.read('devices.txt'));
  const line = exported.find(one => one.id === id && !one.moduleId);
  assert.equal(line.authentication.symmetricKey.primaryKey, made.authentication.symmetricKey.primaryKey);
  assert.deepEqual([line.tags, line.properties.desired.a, line.deviceScope], [{ ort: 'Köln' }, { b: [1, 2] }, edge.deviceScope]);
  assert.ok(exported.some(one => one.id === id && one.moduleId === 'm1'));
  assert.ok(exported.some(one => one.id === 'me-edge' && one.moduleId === '$edgeHub' && one.authentication.symmetricKey.primaryKey));
  const { totalDeviceCount } = (await registry.getRegistryStatistics()).responseBody;
  assert.equal(exported.filter(one => !one.moduleId).length, totalDeviceCount);

  await registry.delete(id);
  await registry.delete('me-edge');
  const back = await run(() => registry.importDevicesFromBlob(container.sas, container.sas));
  assert.equal(back.status, 'completed', back.failureReason);
  assert.equal(await container.read('importErrors.log'), '');
  const { responseBody: again } = await registry.get(id);
  assert.equal(again.authentication.symmetricKey.primaryKey, made.authentication.symmetricKey.primaryKey);
  assert.deepEqual(again.parentScopes, [(await registry.get('me-edge')).responseBody.deviceScope]);
  assert.equal((await registry.getTwin(id)).responseBody.tags.ort, 'Köln');

  const without = await run(() => registry.exportDevicesToBlob(container.sas, true));
  assert.equal(without.excludeKeysInExport, true);
  assert.ok(lines(await container.read('devices.txt')).every(one => !one.authentication.symmetricKey?.primaryKey));
});

test('Job_ThatCannot_SaysWhy', { timeout: 60_000 }, async () => {
  const container = await account.container('cannot');
  const missing = await run(() => registry.importDevicesFromBlob(container.sas, container.sas));
  assert.equal(missing.status, 'failed');
  assert.match(missing.failureReason, /devices\.txt in http:\/\/127\.0\.0\.1:\d+\/account1\/cannot is not there/);

  const { sas: readOnly } = await account.container('cannot', 'r');
  const refused = await run(() => registry.exportDevicesToBlob(readOnly, false));
  assert.equal(refused.status, 'failed');
  assert.match(refused.failureReason, /the account refuses the signature/);

  for (const address of ['no address', 'http://example.org/c?sig=1', 'https://example.org/c', 'ftp://127.0.0.1/c?sig=1']) {
    await assert.rejects(registry.exportDevicesToBlob(address, false), error => /ArgumentInvalid/.test(error.responseBody ?? error.message), address);
  }

  await assert.rejects(registry.getJob('nobody'), error => /JobNotFound/.test(error.responseBody ?? error.message));
});

test('Jobs_AreListed_Cancelled_AndShowNoSignature', { timeout: 60_000 }, async () => {
  const container = await account.container('listed');
  await container.write('devices.txt', Array.from({ length: 20_000 }, (_, n) => `{"id":"ml-${n}"}`).join('\n'));
  const begun = await registry.importDevicesFromBlob(container.sas, container.sas);
  await assert.rejects(registry.exportDevicesToBlob(container.sas, true), error => /JobQuotaExceeded/.test(error.responseBody ?? error.message));
  await registry.cancelJob(begun.jobId);
  assert.equal((await ended(begun)).status, 'cancelled');
  await run(() => registry.exportDevicesToBlob(container.sas, true));

  const { responseBody: jobs } = await registry.listJobs();
  assert.ok(jobs.some(job => job.jobId === begun.jobId && job.status === 'cancelled' && job.endTimeUtc));
  const signature = new URL(container.sas).searchParams.get('sig');
  for (const said of [JSON.stringify(jobs), JSON.stringify(begun), hub.output(), JSON.stringify(await hub.cliJson(['audit', 'list', '--top', '200']))]) {
    assert.ok(!said.includes(signature) && !said.includes(encodeURIComponent(signature)));
  }
});

test('Cli_ExportAndImport_WaitUntilTheJobHasEnded', { timeout: 60_000 }, async () => {
  const container = await account.container('cli');
  await registry.create({ deviceId: 'mc-1' });
  const exported = await hub.cliJson(['device-identity', 'export', '--bcu', '-', '--include-keys'], { input: `${container.sas}\n` });
  assert.equal(exported.status, 'completed');
  assert.ok((await container.read('devices.txt')).includes('"mc-1"'));
  await registry.delete('mc-1');
  const folder = mkdtempSync(path.join(os.tmpdir(), 'sallyport-cli-'));
  try {
    writeFileSync(path.join(folder, 'sas'), container.sas);
    const imported = await hub.cliJson(['device-identity', 'import', '--bcu', `@${path.join(folder, 'sas')}`]);
    assert.equal(imported.status, 'completed');
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }

  await registry.get('mc-1');
  const shown = await hub.cli(['device-identity', 'export', '--bcu', container.sas]);
  assert.equal(shown.code, 2);
  assert.ok(!shown.stderr.includes(new URL(container.sas).searchParams.get('sig')));
  const missing = await hub.cli(['device-identity', 'import', '--bcu', '-', '--blob-name', 'missing.txt'], { input: `${container.sas}\n` });
  assert.equal(missing.code, 1);
  assert.match(missing.stderr, /missing\.txt in .* is not there/);
});

test('Job_WithConfigurations_MovesThemToo', { timeout: 60_000 }, async () => {
  const container = await account.container('configurations');
  const configuration = { id: 'moved-1', targetCondition: "tags.moved = 'yes'", priority: 7, labels: { by: 'test' }, content: { deviceContent: { 'properties.desired.interval': 5 } } };
  await registry.addConfiguration(configuration);
  const job = async body => {
    const { status, text } = await hub.request('POST', '/jobs/create?api-version=2021-04-12', { headers: { 'content-type': 'application/json' }, body: JSON.stringify({ ...body, includeConfigurations: true }) });
    assert.equal(status, 200, text);
    return ended(JSON.parse(text));
  };
  const exported = await job({ type: 'export', outputBlobContainerUri: container.sas });
  assert.equal(exported.status, 'completed', exported.failureReason);
  const line = lines(await container.read('configurations.txt')).find(one => one.id === 'moved-1');
  assert.deepEqual([line.priority, line.content.deviceContent], [7, configuration.content.deviceContent]);

  await registry.removeConfiguration('moved-1');
  const imported = await job({ type: 'import', inputBlobContainerUri: container.sas, outputBlobContainerUri: container.sas });
  assert.equal(imported.status, 'completed', imported.failureReason);
  const { responseBody: back } = await registry.getConfiguration('moved-1');
  assert.deepEqual([back.targetCondition, back.priority, back.labels], [configuration.targetCondition, 7, { by: 'test' }]);
  await registry.removeConfiguration('moved-1');
});

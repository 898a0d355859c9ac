// Scheduled jobs, as JobClient of azure-iothub makes, follows and cancels them, over devices that azure-iot-device connects.
import assert from 'node:assert/strict';
import { after, before, test as untimed } from 'node:test';
import iotDevice from 'azure-iot-device';
import iotAmqp from 'azure-iot-device-amqp';
import iotMqtt from 'azure-iot-device-mqtt';
import iotHub from 'azure-iothub';
import * as hub from './hub.mjs';

// What does not come never comes: a test ends at its deadline.
const test = (name, act) => untimed(name, { timeout: 90_000 }, act);
const transports = { mqtt: iotMqtt.Mqtt, amqp: iotAmqp.Amqp };
const Fleet = 120;
let jobs, registry, serial = 0;

before(async () => {
  await hub.start();
  const { serviceConnectionString } = hub.endpoints();
  jobs = iotHub.JobClient.fromConnectionString(serviceConnectionString);
  registry = iotHub.Registry.fromConnectionString(hub.endpoints().ownerConnectionString);
  for (let from = 0; from < Fleet; from += 60) {
    await registry.addDevices(Array.from({ length: 60 }, (_, i) => ({ deviceId: `fleet-${String(from + i).padStart(3, '0')}` })));
  }
});
after(hub.stop);

const idOf = name => `${name}-${process.pid}-${++serial}`;

async function ended(id) {
  for (let turn = 0; turn < 600; turn++) {
    const { jobStatus } = await jobs.getJob(id);
    if (['completed', 'failed', 'cancelled'].includes(jobStatus.status)) return jobStatus;
    await new Promise(resolve => setTimeout(resolve, 50));
  }
  assert.fail(`the job ${id} did not end`);
}

// Without a callback, next() wants to be told where to go on.
async function all(query) {
  const rows = [];
  do rows.push(...(await query.next(query.continuationToken)).result);
  while (query.hasMoreResults);
  return rows;
}

const outcomes = id => all(registry.createQuery(`SELECT * FROM devices.jobs WHERE devices.jobs.jobId = '${id}'`, 50));

/** Opens a device that answers the method with its transport and what it is asked. */
async function answering(name, transport) {
  const made = await hub.device(name);
  const client = iotDevice.Client.fromConnectionString(made.connectionString, transport);
  await client.open();
  client.on('error', () => {});
  client.onDeviceMethod('blink', (request, response) => hub.answer(response, 207, { of: name, asked: request.payload }));
  return { ...made, client };
}

async function close(client) {
  client.removeAllListeners();
  await client.close().catch(() => {});
}

test('TwinJob_OverAFleet_ChangesEachTwin_AndTellsWhatBecameOfIt', async () => {
  const id = idOf('twins');
  const condition = `deviceId IN [${Array.from({ length: Fleet }, (_, i) => `'fleet-${String(i).padStart(3, '0')}'`)}]`;
  const { jobStatus: made } = await jobs.scheduleTwinUpdate(id, condition, { etag: '*', tags: { season: 'winter' }, properties: { desired: { interval: 5 } } }, new Date(), 300);
  assert.equal(made.jobId, id);
  assert.equal(made.type, 'scheduleUpdateTwin');
  assert.equal(made.updateTwin.etag, '*');

  const job = await ended(id);
  assert.equal(job.status, 'completed');
  assert.equal(job.queryCondition, condition);
  assert.equal(job.maxExecutionTimeInSeconds, 300);
  assert.deepEqual(job.deviceJobStatistics, { deviceCount: Fleet, failedCount: 0, succeededCount: Fleet, runningCount: 0, pendingCount: 0 });
  const { responseBody: twin } = await registry.getTwin('fleet-077');
  assert.equal(twin.tags.season, 'winter');
  assert.equal(twin.properties.desired.interval, 5);

  const rows = await outcomes(id);
  assert.equal(rows.length, Fleet);
  assert.ok(rows.every(row => row.status === 'completed' && row.jobType === 'scheduleUpdateTwin' && row.outcome.deviceMethodResponse === null));
  assert.equal((await all(registry.createQuery("SELECT * FROM devices.jobs WHERE devices.jobs.deviceId = 'fleet-003' AND devices.jobs.createdTimeUtc > '2020-01-01'"))).length, 1);
});

for (const [name, transport] of Object.entries(transports)) {
  test(`MethodJob_OverDevicesOver_${name}_KeepsWhatEachAnswered_AndFailsOnWhoDoesNotCome`, async () => {
    const there = [await answering(`there-${name}-a`, transport), await answering(`there-${name}-b`, transport)];
    const away = await hub.device(`away-${name}`);
    const id = idOf(`methods-${name}`);
    const condition = `deviceId IN ['${there[0].deviceId}','${there[1].deviceId}','${away.deviceId}']`;
    await jobs.scheduleDeviceMethod(id, condition, { methodName: 'blink', payload: { times: [1, 2] }, responseTimeoutInSeconds: 20 }, new Date(), 4);

    const job = await ended(id);
    assert.equal(job.status, 'completed');
    assert.deepEqual(job.deviceJobStatistics, { deviceCount: 3, failedCount: 1, succeededCount: 2, runningCount: 0, pendingCount: 0 });
    assert.deepEqual(job.cloudToDeviceMethod.payload, { times: [1, 2] });
    const rows = Object.fromEntries((await outcomes(id)).map(row => [row.deviceId, row]));
    for (const [i, one] of there.entries()) {
      assert.deepEqual(rows[one.deviceId].outcome.deviceMethodResponse, { status: 207, payload: { of: `there-${name}-${'ab'[i]}`, asked: { times: [1, 2] } } });
      await close(one.client);
    }
    assert.equal(rows[away.deviceId].status, 'failed');
    assert.equal(rows[away.deviceId].error.code, 'DeviceNotOnline');
  });
}

test('MethodJob_WaitsForADeviceThatComesWithinTheWindow', async () => {
  const made = await hub.device('late');
  const id = idOf('late');
  await jobs.scheduleDeviceMethod(id, `deviceId = '${made.deviceId}'`, { methodName: 'blink', payload: 'on' }, new Date(), 60);
  const client = iotDevice.Client.fromConnectionString(made.connectionString, iotMqtt.Mqtt);
  await client.open();
  client.onDeviceMethod('blink', (request, response) => hub.answer(response, 200, request.payload));

  assert.equal((await ended(id)).status, 'completed');
  assert.deepEqual((await outcomes(id))[0].outcome.deviceMethodResponse, { status: 200, payload: 'on' });
  await close(client);
});

test('Job_InTheFuture_IsScheduled_ThenBeginsByItself_AndCanBeCancelledBefore', async () => {
  const [soon, never] = [idOf('soon'), idOf('never')];
  const { jobStatus } = await jobs.scheduleTwinUpdate(soon, "deviceId = 'fleet-000'", { tags: { later: true } }, new Date(Date.now() + 2000), 60);
  await jobs.scheduleTwinUpdate(never, "deviceId = 'fleet-001'", { tags: { later: true } }, new Date(Date.now() + 3600_000), 60);
  assert.equal(jobStatus.status, 'scheduled');

  assert.equal((await jobs.cancelJob(never)).jobStatus.status, 'cancelled');
  assert.equal((await ended(soon)).status, 'completed');
  assert.equal((await registry.getTwin('fleet-000')).responseBody.tags.later, true);
  assert.equal((await registry.getTwin('fleet-001')).responseBody.tags.later, undefined);
  await assert.rejects(jobs.cancelJob(soon), /has ended/);
});

test('Job_ThatRuns_IsCancelled_AndWhatWaitsIsCanceled', async () => {
  const away = await hub.device('away');
  const id = idOf('cancel');
  await jobs.scheduleDeviceMethod(id, `deviceId = '${away.deviceId}'`, { methodName: 'blink' }, new Date(), 3600);
  for (let turn = 0; (await jobs.getJob(id)).jobStatus.deviceJobStatistics.pendingCount !== 1; turn++) {
    assert.ok(turn < 200, 'it does not wait for the device');
    await new Promise(resolve => setTimeout(resolve, 50));
  }

  assert.equal((await jobs.cancelJob(id)).jobStatus.status, 'cancelled');
  for (let turn = 0; (await outcomes(id))[0].status !== 'canceled'; turn++) {
    assert.ok(turn < 200, 'the row is not closed');
    await new Promise(resolve => setTimeout(resolve, 50));
  }
});

test('Jobs_AreListed_ByTypeAndState_PageByPage', async () => {
  const ids = [];
  for (let i = 0; i < 5; i++) {
    ids.push(idOf('listed'));
    await jobs.scheduleTwinUpdate(ids[i], "deviceId = 'fleet-002'", { tags: { n: i } }, new Date(Date.now() + 3600_000), 60);
  }
  const query = jobs.createQuery('scheduleUpdateTwin', 'scheduled', 2);
  const { result, message } = await query.next();
  assert.equal(result.length, 2);
  assert.equal(message.headers['x-ms-item-type'], 'JobResponse');
  const listed = [...result, ...await all(query)].map(job => job.jobId);
  assert.deepEqual(listed.filter(id => ids.includes(id)), [...ids].reverse());
  for (const id of ids) await jobs.cancelJob(id);
  assert.ok((await all(jobs.createQuery())).length >= 5);
});

test('Job_ThatIsWrong_IsRefused_AndSaysWhere', async () => {
  await assert.rejects(jobs.scheduleTwinUpdate(idOf('bad'), 'tags.a == 1', { tags: { a: 1 } }), /line 1, column 9: found '='/);
  await assert.rejects(jobs.scheduleTwinUpdate('no_such_id', '*', { tags: { a: 1 } }), /jobId: 1 to 64/);
  await assert.rejects(jobs.getJob(idOf('nobody')));
  const { status, headers } = await hub.request('GET', '/jobs/v2/nobody?api-version=2021-04-12');
  assert.equal(status, 404);
  assert.equal(headers['iothub-errorcode'], 'JobNotFound');
  const id = idOf('twice');
  await jobs.scheduleTwinUpdate(id, "deviceId = 'nobody'", { tags: { a: 1 } });
  await assert.rejects(jobs.scheduleTwinUpdate(id, "deviceId = 'nobody'", { tags: { a: 1 } }));
  await ended(id);
});

test('Job_OfAHubThatIsKilledWhileItRuns_GoesOn_AndChangesNoTwinTwice', async () => {
  const waits = await hub.device('waits');
  const [twins, method] = [idOf('killed'), idOf('killed-method')];
  const before = (await registry.getTwin('fleet-050')).responseBody.properties.desired.$version;
  await jobs.scheduleDeviceMethod(method, `deviceId = '${waits.deviceId}'`, { methodName: 'blink', payload: 1 }, new Date(), 600);
  await jobs.scheduleTwinUpdate(twins, "deviceId >= 'fleet-000' AND deviceId <= 'fleet-999'", { properties: { desired: { killed: true } } }, new Date(), 600);
  await hub.kill9();
  await hub.start();

  const job = await ended(twins);
  assert.equal(job.status, 'completed');
  assert.deepEqual(job.deviceJobStatistics, { deviceCount: Fleet, failedCount: 0, succeededCount: Fleet, runningCount: 0, pendingCount: 0 });
  for (const i of ['000', '050', '119']) {
    const { $version, killed } = (await registry.getTwin(`fleet-${i}`)).responseBody.properties.desired;
    assert.deepEqual([killed, $version], [true, before + 1]);
  }

  const client = iotDevice.Client.fromConnectionString(waits.connectionString, iotMqtt.Mqtt);
  await client.open();
  client.onDeviceMethod('blink', (request, response) => hub.answer(response, 200, request.payload));
  assert.equal((await ended(method)).status, 'completed');
  await close(client);
});

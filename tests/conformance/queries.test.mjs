import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import iothub from 'azure-iothub';
import * as hub from './hub.mjs';

const { Registry } = iothub;
let registry;

before(async () => {
  const { ownerConnectionString } = await hub.start();
  registry = Registry.fromConnectionString(ownerConnectionString);
  for (let i = 0; i < 5; i++) {
    await registry.create({ deviceId: `q-${i}` });
    await registry.updateTwin(`q-${i}`, { tags: { fleet: 'queries', location: { floor: i % 2 }, n: i }, properties: { desired: { interval: 10 * i } } }, '*');
  }
  await registry.addModule({ deviceId: 'q-0', moduleId: 'camera' });
  await registry.updateModuleTwin('q-0', 'camera', { tags: { fleet: 'queries' } }, '*');
});
after(hub.stop);

const all = async query => {
  const rows = [];
  while (query.hasMoreResults) rows.push(...(await query.next(query.continuationToken)).result);
  return rows;
};

test('Query_NextAsTwin_GivesTwinsThatCanBeWorkedWith', async () => {
  const query = registry.createQuery("SELECT * FROM devices WHERE tags.fleet = 'queries' AND tags.location.floor = 1");
  const { result: twins, message } = await query.nextAsTwin();

  assert.deepEqual(twins.map(twin => twin.deviceId), ['q-1', 'q-3']);
  assert.equal(message.headers['x-ms-item-type'], 'Twin');
  assert.equal(query.hasMoreResults, false);
  assert.equal(twins[1].properties.desired.interval, 30);
  await twins[0].update({ tags: { touched: true } });
  assert.equal((await registry.createQuery('SELECT * FROM devices WHERE tags.touched = true').nextAsTwin()).result[0].deviceId, 'q-1');
});

test('Query_Pages_GiveEachRowOnce', async () => {
  const query = registry.createQuery("SELECT * FROM devices WHERE tags.fleet = 'queries'", 2);
  const seen = [];
  let pages = 0;
  while (query.hasMoreResults) {
    seen.push(...(await query.nextAsTwin()).result.map(twin => twin.deviceId));
    pages++;
  }
  assert.deepEqual([pages, seen], [3, ['q-0', 'q-1', 'q-2', 'q-3', 'q-4']]);
});

test('Query_Projection_IsRaw', async () => {
  const query = registry.createQuery("SELECT DeviceId, properties.desired.interval FROM devices WHERE deviceId IN ['q-2', 'q-3']");
  const { result, message } = await query.next();
  assert.deepEqual(result, [{ deviceId: 'q-2', interval: 20 }, { deviceId: 'q-3', interval: 30 }]);
  assert.equal(message.headers['x-ms-item-type'], 'Raw');
});

test('Query_Aggregates_AreCountedOverAllDevices', async () => {
  assert.deepEqual(
    await all(registry.createQuery("SELECT tags.location.floor AS floor, COUNT() AS numberOfDevices, AVG(tags.n) AS mean FROM devices WHERE tags.fleet = 'queries' GROUP BY tags.location.floor", 1)),
    [{ floor: 0, numberOfDevices: 3, mean: 2 }, { floor: 1, numberOfDevices: 2, mean: 2 }]);
});

test('Query_Modules_AreRowsOfTheirOwn', async () => {
  const { result: [twin] } = await registry.createQuery("SELECT * FROM devices.modules WHERE devices.deviceId = 'q-0' AND moduleid = 'camera'").nextAsTwin();
  assert.deepEqual([twin.deviceId, twin.moduleId], ['q-0', 'camera']);
});

test('Query_Jobs_AreNone', async () => {
  assert.deepEqual(await all(registry.createQuery("SELECT * FROM devices.jobs WHERE devices.jobs.deviceId = 'q-0'")), []);
});

test('Query_SeesWhatWasWrittenBefore', async () => {
  for (let i = 0; i < 20; i++) {
    await registry.updateTwin('q-4', { tags: { round: i } }, '*');
    assert.equal((await registry.createQuery(`SELECT * FROM devices WHERE tags.round = ${i}`).nextAsTwin()).result.length, 1);
  }
});

test('Query_ThatIsNone_IsArgumentError_AndSaysWhere', async () => {
  await assert.rejects(registry.createQuery('SELECT * FORM devices').nextAsTwin(), error => {
    assert.equal(error.constructor.name, 'ArgumentError');
    assert.match(error.responseBody, /ErrorCode:ArgumentInvalid;query, line 1, column 10: found 'FORM'; expected FROM/);
    return true;
  });
});

test('Query_WithATokenOfAnotherQuery_IsArgumentError', async () => {
  const query = registry.createQuery('SELECT * FROM devices', 1);
  await query.nextAsTwin();
  await assert.rejects(registry.createQuery('SELECT * FROM devices.modules', 1).nextAsTwin(query.continuationToken), error => error.constructor.name === 'ArgumentError');
});

test('Query_FromTheCommandLine_IsTheSame', async () => {
  const rows = await hub.cliJson(['query', '-q', "SELECT COUNT() AS n FROM devices WHERE tags.fleet = 'queries'"]);
  assert.deepEqual(rows, [{ n: 5 }]);
});

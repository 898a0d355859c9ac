// Automatic configurations and edge deployments with the official SDKs: what services say, and what devices see of it.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import iotdevice from 'azure-iot-device';
import mqtt from 'azure-iot-device-mqtt';
import amqp from 'azure-iot-device-amqp';
import iothub from 'azure-iothub';
import * as hub from './hub.mjs';

const deadline = { timeout: 60_000 };
let registry;
let serial = 0;

before(async () => {
  const { ownerConnectionString } = await hub.start();
  registry = iothub.Registry.fromConnectionString(ownerConnectionString);
});
after(hub.stop);

/** An id that no other test uses, and that is a tag's value as well. */
const name = what => `${what}-${process.pid}-${++serial}`;

const body = async promise => (await promise).responseBody;
const tag = (deviceId, site) => registry.updateTwin(deviceId, { tags: { site } }, '*');

/** A connected device: `next(seen)` answers the first desired properties, from now or before, of which seen is true. */
async function watched(deviceId, transport = mqtt.Mqtt, connectionString = undefined, Client = iotdevice.Client) {
  const client = Client.fromConnectionString(connectionString ?? (await hub.cliJson(['device-identity', 'connection-string', 'show', '-d', deviceId])).connectionString, transport);
  await client.open();
  const twin = await promisify(client.getTwin.bind(client))();
  const next = seen => new Promise(resolve => {
    const look = () => { if (seen(twin.properties.desired)) resolve(structuredClone(twin.properties.desired)); };
    twin.on('properties.desired', look);
    look();
  });
  // Told of changes from here on: the SDK does not say when it has subscribed.
  for (let probe = 1; ; probe++) {
    await registry[Client === iotdevice.ModuleClient ? 'updateModuleTwin' : 'updateTwin'](...(Client === iotdevice.ModuleClient ? [deviceId, 'temp'] : [deviceId]), { properties: { desired: { probe } } }, '*');
    if (await Promise.race([next(desired => desired.probe >= 1), new Promise(resolve => setTimeout(resolve, 50, false))])) break;
  }

  return { client, twin, next };
}

/** Asks until the answer is as it must be: services are not told of what the hub does. */
async function until(ask, isRight) {
  for (;;) {
    const answer = await ask();
    if (isRight(answer)) return answer;
    await new Promise(resolve => setTimeout(resolve, 20));
  }
}

const statusOf = async (deviceId, id) => (await body(registry.getTwin(deviceId))).configurations?.[id]?.status;

test('Configuration_CreateReadUpdateListDelete_AsTheSdkDoesIt', deadline, async () => {
  const id = name('crud');
  const made = await body(registry.addConfiguration({
    id, content: { deviceContent: { 'properties.desired.a': 1 } }, targetCondition: "tags.site = 'nowhere'", priority: 10, labels: { who: 'me' },
    metrics: { queries: { own: "SELECT deviceId FROM devices WHERE tags.site = 'nowhere'" } },
  }));
  assert.equal(made.schemaVersion, '1.0');
  assert.deepEqual(made.content, { deviceContent: { 'properties.desired.a': 1 } });
  assert.deepEqual(made.labels, { who: 'me' });
  assert.match(made.createdTimeUtc, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d/);
  assert.deepEqual(made.systemMetrics.results, { targetedCount: 0, appliedCount: 0 });
  assert.deepEqual(made.metrics, { results: { own: 0 }, queries: { own: "SELECT deviceId FROM devices WHERE tags.site = 'nowhere'" } });
  assert.equal(made.systemMetrics.queries.targetedCount, "SELECT deviceId FROM devices WHERE tags.site = 'nowhere'");

  await assert.rejects(registry.addConfiguration({ id, content: { deviceContent: { 'properties.desired.a': 1 } } }), { name: 'DeviceAlreadyExistsError' });
  const read = await body(registry.getConfiguration(id));
  assert.deepEqual(read, made);
  const changed = await body(registry.updateConfiguration({ ...read, priority: 11, labels: { who: 'you' } }));
  assert.deepEqual([changed.priority, changed.labels.who, changed.createdTimeUtc], [11, 'you', made.createdTimeUtc]);
  assert.notEqual(changed.etag, made.etag);
  await assert.rejects(registry.updateConfiguration(read), { name: 'InvalidEtagError' });
  await assert.rejects(registry.updateConfiguration({ ...read, content: { deviceContent: { 'properties.desired.a': 2 } } }, true), /content: cannot be changed/);
  await registry.updateConfiguration(read, true);

  assert.ok((await body(registry.getConfigurations())).some(one => one.id === id));
  await registry.removeConfiguration(id);
  await assert.rejects(registry.getConfiguration(id), error => error.response.statusCode === 404);
  await assert.rejects(registry.removeConfiguration(id), error => error.response.statusCode === 404);
});

for (const [transport, Transport] of Object.entries({ mqtt: mqtt.Mqtt, amqp: amqp.Amqp })) {
  test(`Device_${transport}_WhoseTagChanges_SeesWhatConfigurationsSay_AndThatItGoes`, deadline, async () => {
    const { deviceId } = await hub.device('conf');
    const [fast, slow, site] = [name('fast'), name('slow'), name('s')];
    await registry.addConfiguration({ id: slow, content: { deviceContent: { 'properties.desired.fan.speed': 1, 'properties.desired.fan.name': 'slow' } }, targetCondition: `tags.site = '${site}'`, priority: 1 });
    await registry.addConfiguration({ id: fast, content: { deviceContent: { 'properties.desired.fan.speed': 9 } }, targetCondition: `tags.site = '${site}'`, priority: 5 });
    const { client, next } = await watched(deviceId, Transport);
    try {
      await tag(deviceId, site);
      const both = await next(desired => desired.fan?.speed === 9);
      assert.equal(both.fan.name, 'slow');
      assert.deepEqual([await statusOf(deviceId, fast), await statusOf(deviceId, slow)], ['Applied', 'Applied']);

      // Counted at once, and found by queries.
      const { systemMetrics } = await body(registry.getConfiguration(fast));
      assert.deepEqual(systemMetrics.results, { targetedCount: 1, appliedCount: 1 });
      for (const query of Object.values(systemMetrics.queries))
        assert.deepEqual((await registry.createQuery(query).nextAsTwin()).result.map(twin => twin.deviceId), [deviceId]);

      // What somebody else sets in the same place is set back.
      await registry.updateTwin(deviceId, { properties: { desired: { fan: { speed: 3 } } } }, '*');
      await next(desired => desired.fan?.speed === 9);
      await until(() => body(registry.getTwin(deviceId)), twin => twin.properties.desired.fan.speed === 9);

      await registry.removeConfiguration(fast);
      await next(desired => desired.fan?.speed === 1);
      await tag(deviceId, null);
      const left = await next(desired => desired.fan === undefined);
      assert.ok(left.probe >= 1);
      assert.equal(await statusOf(deviceId, slow), undefined);
    } finally {
      await client.close();
      await registry.removeConfiguration(slow);
    }
  });
}

test('Device_ThatReports_ComesIntoReach', deadline, async () => {
  const { deviceId } = await hub.device('conf');
  const [id, mark] = [name('warm'), name('m')];
  await registry.addConfiguration({ id, content: { deviceContent: { 'properties.desired.cooling': { on: true, levels: [1, 2] } } }, targetCondition: `properties.reported.mark = '${mark}' AND properties.reported.t > 30`, priority: 1 });
  const { client, twin, next } = await watched(deviceId);
  try {
    const report = promisify(twin.properties.reported.update.bind(twin.properties.reported));
    await report({ mark, t: 29 });
    await report({ t: 31 });
    assert.deepEqual((await next(desired => desired.cooling !== undefined)).cooling, { on: true, levels: [1, 2] });
    await report({ t: 20 });
    await next(desired => desired.cooling === undefined);
  } finally {
    await client.close();
    await registry.removeConfiguration(id);
  }
});

test('Modules_AreReachedByAConditionOverModules', deadline, async () => {
  const { deviceId } = await hub.device('conf');
  const { connectionString } = await hub.module(deviceId, 'temp');
  const [id, kind] = [name('mods'), name('k')];
  await registry.addConfiguration({ id, content: { moduleContent: { 'properties.desired.rate': 5 } }, targetCondition: `FROM devices.modules WHERE tags.kind = '${kind}'`, priority: 1 });
  const { client, next } = await watched(deviceId, mqtt.Mqtt, connectionString, iotdevice.ModuleClient);
  try {
    await registry.updateModuleTwin(deviceId, 'temp', { tags: { kind } }, '*');
    await next(desired => desired.rate === 5);
    assert.deepEqual((await body(registry.getConfiguration(id))).systemMetrics.results, { targetedCount: 1, appliedCount: 1 });
  } finally {
    await client.close();
    await registry.removeConfiguration(id);
  }
});

const manifest = (runtime, interval) => ({
  modulesContent: {
    $edgeAgent: { 'properties.desired': { schemaVersion: '1.1', runtime: { type: 'docker', settings: { minDockerVersion: runtime } }, modules: { temp: { settings: { image: 'temp:1', createOptions: '{}' } } } } },
    $edgeHub: { 'properties.desired': { schemaVersion: '1.1', routes: { upstream: 'FROM /messages/* INTO $upstream' }, storeAndForwardConfiguration: { timeToLiveSecs: 7200 } } },
    temp: { 'properties.desired': { interval } },
  },
});

async function edge(deviceId) {
  await registry.create({ deviceId, capabilities: { iotEdge: true } });
  return deviceId;
}

const agentOf = async deviceId => (await body(registry.getModuleTwin(deviceId, '$edgeAgent'))).properties;

test('EdgeDeployment_MakesModulesAndSetsThem_LayersAreSetOverIt_AndItsMetricsSayWhatRuntimesReport', deadline, async () => {
  const deviceId = await edge(name('edge'));
  const [base, layer, line] = [name('base'), name('layer'), name('l')];
  await registry.addConfiguration({ id: base, content: manifest('v1', 5), targetCondition: `tags.line = '${line}'`, priority: 1 });
  await registry.addConfiguration({
    id: layer, priority: 2, targetCondition: `tags.line = '${line}'`,
    content: { modulesContent: { $edgeAgent: { 'properties.desired.modules.extra': { settings: { image: 'extra:1' } } }, extra: { 'properties.desired': { on: true } }, temp: { 'properties.desired.layered': { a: 1 } } } },
  });
  await registry.updateTwin(deviceId, { tags: { line } }, '*');
  await until(() => statusOf(deviceId, layer), status => status === 'Applied');
  const { desired } = await agentOf(deviceId);
  assert.deepEqual(Object.keys(desired.modules), ['temp', 'extra']);
  assert.equal((await body(registry.getModule(deviceId, 'extra'))).managedBy, 'IotEdge');
  const temp = (await body(registry.getModuleTwin(deviceId, 'temp'))).properties.desired;
  assert.deepEqual([temp.interval, temp.layered], [5, { a: 1 }]);

  // As the runtime does it.
  const { connectionString } = await hub.cliJson(['module-identity', 'connection-string', 'show', '-d', deviceId, '-m', '$edgeAgent']);
  const agent = iotdevice.ModuleClient.fromConnectionString(connectionString, mqtt.Mqtt);
  await agent.open();
  try {
    const twin = await promisify(agent.getTwin.bind(agent))();
    await promisify(twin.properties.reported.update.bind(twin.properties.reported))({ lastDesiredVersion: desired.$version, lastDesiredStatus: { code: 200 } });
    const { systemMetrics } = await body(registry.getConfiguration(base));
    assert.deepEqual(systemMetrics.results, { targetedCount: 1, appliedCount: 1, reportedSuccessfulCount: 1, reportedFailedCount: 0 });
    for (const [metric, count] of Object.entries(systemMetrics.results))
      assert.equal((await registry.createQuery(systemMetrics.queries[metric]).nextAsTwin()).result.length, count, metric);

    await promisify(twin.properties.reported.update.bind(twin.properties.reported))({ lastDesiredStatus: { code: 400 } });
    assert.equal((await body(registry.getConfiguration(base))).systemMetrics.results.reportedFailedCount, 1);
  } finally {
    await agent.close();
  }

  // Without a deployment an edge device keeps what it runs.
  await registry.removeConfiguration(layer);
  await registry.removeConfiguration(base);
  await until(() => statusOf(deviceId, base), status => status === undefined);
  assert.deepEqual(Object.keys((await agentOf(deviceId)).desired.modules), ['temp']);
});

test('Content_AppliedOnDemand_IsSetAtOnce', deadline, async () => {
  const deviceId = await edge(name('edge'));
  await registry.applyConfigurationContentOnDevice(deviceId, manifest('v2', 7));
  assert.equal((await agentOf(deviceId)).desired.runtime.settings.minDockerVersion, 'v2');
  assert.equal((await body(registry.getModuleTwin(deviceId, 'temp'))).properties.desired.interval, 7);
  assert.deepEqual((await body(registry.getModulesOnDevice(deviceId))).map(module => module.moduleId).sort(), ['$edgeAgent', '$edgeHub', 'temp']);

  const { deviceId: leaf } = await hub.device('conf');
  await registry.applyConfigurationContentOnDevice(leaf, { deviceContent: { 'properties.desired.a.b': 1 } });
  assert.deepEqual((await body(registry.getTwin(leaf))).properties.desired.a, { b: 1 });
  await assert.rejects(registry.applyConfigurationContentOnDevice(leaf, manifest('v', 1)), { name: 'ArgumentError' });
  await assert.rejects(registry.applyConfigurationContentOnDevice('nobody', manifest('v', 1)), { name: 'DeviceNotFoundError' });
});

test('TestQueries_SayWhatIsWrong_AndWhere', deadline, async () => {
  const { status, text } = await hub.request('POST', '/configurations/testQueries?api-version=2021-04-12', {
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ targetCondition: 'tags.a == 1', customMetricQueries: { good: 'SELECT deviceId FROM devices', bad: 'SELECT * FORM devices' } }),
  });
  assert.equal(status, 200);
  const { targetConditionError, customMetricQueryErrors } = JSON.parse(text);
  assert.match(targetConditionError, /^targetCondition, line 1, column 9: found '='; expected/);
  assert.deepEqual(Object.keys(customMetricQueryErrors), ['bad']);
  assert.match(customMetricQueryErrors.bad, /line 1, column 10: found 'FORM'; expected/);
});

const content = { deviceContent: { 'properties.desired.a': 1 } };

for (const [what, configuration, wrong] of [
  ['Id', { id: 'UPPER', content }, /id: 1 to 128 lower-case/],
  ['ContentMissing', { id: 'bad-1' }, /content: is missing/],
  ['ContentOfTwoKinds', { id: 'bad-2', content: { ...content, moduleContent: {} } }, /content: one of deviceContent/],
  ['Path', { id: 'bad-3', content: { deviceContent: { 'tags.a': 1 } } }, /content.deviceContent: found 'tags.a'; expected properties.desired/],
  ['Name', { id: 'bad-4', content: { deviceContent: { 'properties.desired.$a': 1 } } }, /properties.desired/],
  ['Null', { id: 'bad-5', content: { deviceContent: { 'properties.desired.a': null } } }, /null is none/],
  ['PathsInOneAnother', { id: 'bad-6', content: { deviceContent: { 'properties.desired.a': {}, 'properties.desired.a.b': 1 } } }, /are in one another/],
  ['Large', { id: 'bad-7', content: { deviceContent: Object.fromEntries(Array.from({ length: 9 }, (_, i) => [`properties.desired.k${i}`, 'x'.repeat(4000)])) } }, /at most 32768/],
  ['Condition', { id: 'bad-8', content, targetCondition: 'tags.a ==' }, /targetCondition, line 1, column 9: found/],
  ['ConditionOfDesired', { id: 'bad-9', content, targetCondition: 'tags.b = 1 AND properties.desired.a = 1' }, /targetCondition, line 1, column 16: found properties.desired.a; expected a path/],
  ['ConditionOfModules', { id: 'bad-10', content, targetCondition: 'FROM devices.modules WHERE tags.a = 1' }, /only moduleContent is for modules/],
  ['ConditionOfDevices', { id: 'bad-11', content: { moduleContent: { 'properties.desired.a': 1 } }, targetCondition: 'tags.a = 1' }, /expected FROM devices.modules/],
  ['Priority', { id: 'bad-12', content, priority: -1 }, /priority: a whole number from 0/],
  ['SixMetrics', { id: 'bad-13', content, metrics: { queries: Object.fromEntries(Array.from({ length: 6 }, (_, i) => [`m${i}`, 'SELECT deviceId FROM devices'])) } }, /metrics.queries: more than 5/],
  ['Metric', { id: 'bad-14', content, metrics: { queries: { m: 'SELECT COUNT() AS n FROM devices' } } }, /number of rows of its query/],
  ['Labels', { id: 'bad-15', content, labels: { a: 1 } }, /labels.a: a text/],
  ['Module', { id: 'bad-16', content: { modulesContent: { 'a b': { 'properties.desired': {} } } } }, /no module's id/],
  ['ManyModules', { id: 'bad-17', content: { modulesContent: Object.fromEntries(Array.from({ length: 51 }, (_, i) => [`m${i}`, {}])) } }, /more than 50 modules/],
]) {
  test(`Configuration_WithAWrong${what}_IsRefusedAndSaysWhy`, deadline, async () => {
    await assert.rejects(registry.addConfiguration(configuration), error => {
      assert.equal(error.name, 'ArgumentError');
      assert.match(`${error.message} ${error.responseBody}`, wrong);
      return true;
    });
  });
}

test('Configuration_WhoseIdHasEveryLegalCharacter_IsFoundByIt', deadline, async () => {
  const id = `z-:+%_#*?!(),=@;'9-${process.pid}`;
  const { deviceId } = await hub.device('conf');
  await registry.addConfiguration({ id, content, targetCondition: `deviceId = '${deviceId}'`, priority: 1 });
  await until(() => statusOf(deviceId, id), status => status === 'Applied');
  const { systemMetrics } = await body(registry.getConfiguration(id));
  assert.deepEqual((await registry.createQuery(systemMetrics.queries.appliedCount).nextAsTwin()).result.map(twin => twin.deviceId), [deviceId]);
  await registry.removeConfiguration(id);
  await until(() => statusOf(deviceId, id), status => status === undefined);
});

test('Hub_ThatIsKilled_SetsAfterItsStartWhatWasNotSet', deadline, async () => {
  const site = name('s');
  const ids = [];
  for (let i = 0; i < 40; i++) {
    const { deviceId } = await hub.device('conf');
    ids.push(deviceId);
    await tag(deviceId, site);
  }

  const id = name('kill');
  await registry.addConfiguration({ id, content, targetCondition: `tags.site = '${site}'`, priority: 1 });
  await hub.kill9();
  const { ownerConnectionString } = await hub.start();
  registry = iothub.Registry.fromConnectionString(ownerConnectionString);
  await until(async () => (await body(registry.getConfiguration(id))).systemMetrics.results.appliedCount, count => count === ids.length);
  for (const deviceId of ids) {
    const twin = await body(registry.getTwin(deviceId));
    assert.deepEqual([twin.properties.desired.a, twin.properties.desired.$version], [1, 2]);
  }
});

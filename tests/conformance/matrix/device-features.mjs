// What a device or module does with a hub, one row of the matrix each: an act of the unmodified SDK, seen at the other end. Rows of a column are
// done in this order, on one connection but for the last ones.
import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { promisify } from 'node:util';
import iotCommon from 'azure-iot-common';
import iotDevice from 'azure-iot-device';
import * as hub from '../hub.mjs';
import { unique, until } from './world.mjs';

const { errors, NoRetry } = iotCommon;
const { Client, Message, ModuleClient } = iotDevice;
export const model = 'dtmi:com:example:TemperatureController;1';

// Why a cell is empty. One text, one note under the table.
const sdk = {
  batch: 'the Node SDK sends batches over HTTPS alone',
  moduleHttps: 'the Node SDK has no modules over HTTPS',
  model: 'the Node SDK names no model over AMQP',
};
const azure = {
  https: 'IoT Hub has this over MQTT and AMQP alone',
  commandsToModules: 'IoT Hub sends commands to devices alone',
  mqttCompletesOnly: 'over MQTT a command is completed by its acknowledgement, and nothing else',
  outputs: 'devices have no outputs',
  noToken: 'a certificate is not renewed within a connection',
  filesOfModules: 'IoT Hub takes files of devices alone',
  models: 'without a connection there is nothing that names a model',
};
const ours = { twinsOfModules: 'not yet: digital twins of modules' };

const isHttps = ({ transport }) => transport.short === 'h';
const isMqtt = ({ transport }) => transport.name.startsWith('MQTT');
const connected = column => isHttps(column) && azure.https;
const commands = ({ kind }) => kind.isModule && azure.commandsToModules;

/** A message whose text is nobody else's. */
function reading(name) {
  const text = unique(name);
  const message = new Message(JSON.stringify({ text }));
  message.messageId = text;
  message.contentType = 'application/json';
  message.contentEncoding = 'utf-8';
  message.properties.add('sensor', 'a');
  return { text, message };
}

export async function close(client) {
  client.removeAllListeners();
  await client.close().catch(() => {});
}

async function sendCommand(world, column, ack = 'full') {
  const text = unique('command');
  const message = new iotCommon.Message(text);
  message.messageId = text;
  message.ack = ack;
  await world.service.send(column.identity.deviceId, message);
  return text;
}

/** The next command that comes, which must be this one. */
async function expectCommand(column, text) {
  column.commands ??= listen(column.client);
  const command = await column.commands.next();
  assert.equal(command.getData().toString(), text);
  assert.equal(command.messageId, text);
  return command;
}

export function listen(client) {
  const came = [];
  const waiting = [];
  client.on('message', command => (waiting.length ? waiting.shift()(command) : came.push(command)));
  return { next: () => (came.length ? Promise.resolve(came.shift()) : new Promise(resolve => waiting.push(resolve))) };
}

const noneWaits = deviceId => until('no command waits', async () =>
  JSON.parse((await hub.request('GET', `/devices/${deviceId}?api-version=2021-04-12`)).text).cloudToDeviceMessageCount === 0);

const report = (column, patch) => promisify(column.twin.properties.reported.update.bind(column.twin.properties.reported))(patch);

// The SDK does not say when it has subscribed to desired properties, and begins with what it knows: changes something until it is told of it.
async function listensToDesired(world, column) {
  let isTold = false;
  column.twin.on('properties.desired', delta => { if (delta.probe) isTold = true; });
  let probe = 0;
  await until('it is told of a probe', async () => {
    if (!isTold) await world.changeTwinOf(column.identity, { properties: { desired: { probe: ++probe } } });
    return isTold;
  });
}

const desired = (column, isMeant) => new Promise(resolve => column.twin.on('properties.desired', delta => { if (isMeant(delta)) resolve(delta); }));

function onMethod(column, name, act) {
  (column.kind.isModule ? column.client.onMethod : column.client.onDeviceMethod).call(column.client, name, act);
}

const echo = (request, response) => hub.answer(response, 207, request.payload);

export const features = [
  {
    name: 'telemetry, with who sent it and how it was let in',
    async act(world, column) {
      const { message, text } = reading('single');
      await column.client.open();
      await column.client.sendEvent(message);
      const [event] = await world.events(column.identity, text);
      assert.equal(event.messageId, text);
      assert.equal(event.properties.sensor, 'a');
      assert.equal(event.contentType, 'application/json');
      const { scope, type, issuer } = JSON.parse(event.systemProperties['iothub-connection-auth-method']);
      assert.deepEqual({ scope, type, issuer }, { scope: column.kind.isModule ? 'module' : 'device', type: column.kind.credential, issuer: column.kind.credential === 'sas' ? 'iothub' : 'external' });
    },
  },
  {
    name: 'shown as connected at once, and told of',
    absent: connected,
    async act(world, column) {
      const { deviceId, moduleId } = column.identity;
      const twin = await until('it is connected', async () => { const twin = await world.twinOf(column.identity); return twin.connectionState === 'Connected' && twin; });
      assert.ok(Date.parse(twin.lastActivityTime) > 0);
      const [event] = await until('it is told', async () => {
        const told = (await hub.changes(deviceId)).filter(each => each.moduleId === (moduleId ?? null) && each.properties.opType === `${moduleId ? 'module' : 'device'}Connected`);
        return told.length > 0 && told;
      });
      assert.match(event.body.sequenceNumber, /^[0-9A-F]{64}$/);
    },
  },
  {
    name: 'model id at connect',
    absent: column => (isHttps(column) ? azure.models : !isMqtt(column) && sdk.model),
    async act(world, column) {
      assert.equal((await world.twinOf(column.identity)).modelId, model);
    },
  },
  {
    name: 'telemetry, batched',
    absent: column => !isHttps(column) && sdk.batch,
    async act(world, column) {
      const { text } = reading('batch');
      await column.client.sendEventBatch([0, 1, 2].map(n => new Message(JSON.stringify({ text, n }))));
      assert.deepEqual((await world.events(column.identity, text, 3)).map(event => event.body.n), [0, 1, 2]);
    },
  },
  {
    name: 'telemetry to a module\'s output',
    absent: ({ kind }) => !kind.isModule && azure.outputs,
    async act(world, column) {
      const { message, text } = reading('output');
      await column.client.sendOutputEvent('out 1', message);
      const [event] = await world.events(column.identity, text);
      assert.equal(event.properties['iothub-outputname'], 'out 1');
    },
  },
  {
    name: 'command: received and completed',
    absent: commands,
    async act(world, column) {
      column.completed = await sendCommand(world, column);
      await column.client.complete(await expectCommand(column, column.completed));
      await noneWaits(column.identity.deviceId);
    },
  },
  {
    name: 'command: abandoned, comes again, rejected',
    absent: column => commands(column) || (isMqtt(column) && azure.mqttCompletesOnly),
    async act(world, column) {
      column.rejected = await sendCommand(world, column);
      await column.client.abandon(await expectCommand(column, column.rejected));
      await column.client.reject(await expectCommand(column, column.rejected));
      await noneWaits(column.identity.deviceId);
    },
  },
  {
    name: 'twin: read, reported properties changed',
    absent: connected,
    async act(world, column) {
      await world.changeTwinOf(column.identity, { tags: { hidden: 1 }, properties: { desired: { interval: 5, old: true } } });
      column.twin = await promisify(column.client.getTwin.bind(column.client))();
      assert.equal(column.twin.properties.desired.interval, 5);
      assert.equal(column.twin.properties.desired.$version, 2);
      assert.equal(column.twin.tags, undefined);
      await report(column, { firmware: '1.2', nested: { a: 1, b: [1, { c: null }] } });
      await report(column, { nested: { a: null } });
      const { properties: { reported } } = await world.twinOf(column.identity);
      assert.deepEqual(reported.nested, { b: [1, { c: null }] });
      assert.equal(reported.firmware, '1.2');
      assert.equal(reported.$version, 3);
      assert.match(reported.$metadata.nested.b.$lastUpdated, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{7}Z$/);
    },
  },
  {
    name: 'twin: told of desired properties, removed ones too',
    absent: connected,
    async act(world, column) {
      await listensToDesired(world, column);
      const told = desired(column, delta => delta.old === null);
      const { properties } = await world.changeTwinOf(column.identity, { properties: { desired: { interval: 6, old: null } } });
      assert.deepEqual(await told, { interval: 6, old: null, $version: properties.desired.$version });
      assert.equal(column.twin.properties.desired.old, undefined);
    },
  },
  {
    name: 'direct method',
    absent: connected,
    async act(world, column) {
      onMethod(column, 'echo', echo);
      for (const payload of [{ a: [1, { b: null }], 'c d': 'é €' }, null, 'text'])
        assert.deepEqual(await world.call(column.identity, 'echo', payload), { status: 207, payload });
    },
  },
  {
    name: 'digital twin: patched, acknowledged, commanded',
    absent: column => connected(column) || (column.kind.isModule && ours.twinsOfModules),
    async act(world, column) {
      const { deviceId } = column.identity;
      await report(column, { thermostat1: { __t: 'c', maxTemp: 25.3 } });
      const told = desired(column, delta => delta.thermostat1?.target);
      await world.digitalTwins.updateDigitalTwin(deviceId, [{ op: 'add', path: '/thermostat1/target', value: 21.4 }]);
      const delta = await told;
      assert.deepEqual(delta.thermostat1, { __t: 'c', target: 21.4 });
      await report(column, { thermostat1: { __t: 'c', target: { value: 21.4, ac: 200, av: delta.$version, ad: 'done' } } });
      const twin = await world.digitalTwins.getDigitalTwin(deviceId);
      assert.equal(twin.$metadata.$model, isMqtt(column) ? model : '');
      assert.equal(twin.thermostat1.target, 21.4);
      const { ackCode, ackVersion, desiredValue } = twin.thermostat1.$metadata.target;
      assert.deepEqual({ ackCode, ackVersion, desiredValue }, { ackCode: 200, ackVersion: delta.$version, desiredValue: 21.4 });

      onMethod(column, 'thermostat1*add', (request, response) => hub.answer(response, 200, request.payload.a + request.payload.b));
      const answer = await world.digitalTwins.invokeComponentCommand(deviceId, 'thermostat1', 'add', { a: 1, b: 2 }, { connectTimeoutInSeconds: 20, responseTimeoutInSeconds: 20 });
      assert.deepEqual([answer.xMsCommandStatuscode, answer._response.parsedBody], [200, 3]);
    },
  },
  {
    name: 'file upload',
    absent: ({ kind }) => kind.isModule && azure.filesOfModules,
    async act(world, column) {
      const { deviceId } = column.identity;
      const content = Buffer.from(unique('file'));
      await column.client.uploadToBlob('folder/file 1.txt', Readable.from([content]), content.length);
      const notification = await world.fileOf(`${deviceId}/folder/file 1.txt`);
      assert.deepEqual([notification.deviceId, notification.blobSizeInBytes], [deviceId, content.length]);
    },
  },
  {
    name: 'its connection cut (`KillTcp`): sends on, and its methods are back',
    absent: connected,
    async act(world, column) {
      const { message } = reading('cut');
      message.properties.add('AzIoTHub_FaultOperationType', 'KillTcp');
      message.properties.add('AzIoTHub_FaultOperationCloseReason', 'boom');
      message.properties.add('AzIoTHub_FaultOperationDelayInSecs', '0');
      await column.client.sendEvent(message);
      const { deviceId, moduleId } = column.identity;
      await until('it was cut', async () => {
        const { text } = await hub.request('GET', `/manage/v1/devices/${deviceId}${moduleId ? `/modules/${moduleId}` : ''}/diagnosis`);
        return JSON.parse(text).attempts.some(attempt => attempt.reason?.startsWith('injected fault'));
      });
      // After a reset over MQTT this SDK waits for something to do.
      const after = reading('back');
      await column.client.sendEvent(after.message);
      await world.events(column.identity, after.text);
      assert.deepEqual(await world.call(column.identity, 'echo', 1), { status: 207, payload: 1 });
    },
  },
  {
    name: 'commands of the time when it was away, in their order',
    absent: commands,
    async act(world, column) {
      await close(column.client);
      const sent = [];
      for (let n = 0; n < 3; n++) sent.push(await sendCommand(world, column, 'none'));
      column.client = column.open();
      column.commands = undefined;
      await column.client.open();
      for (const text of sent) await column.client.complete(await expectCommand(column, text));
      await noneWaits(column.identity.deviceId);
    },
  },
  {
    name: 'feedback on what became of its commands',
    absent: commands,
    async act(world, column) {
      assert.equal((await world.feedbackOf(column.completed)).statusCode, 'Success');
      assert.equal((await world.feedbackOf(column.completed)).deviceId, column.identity.deviceId);
      if (column.rejected) assert.equal((await world.feedbackOf(column.rejected)).statusCode, 'Rejected');
    },
  },
  {
    name: 'token renewed while it is connected',
    absent: ({ kind }) => kind.credential === 'x509' && azure.noToken,
    async act(world, column) {
      await close(column.client);
      const { deviceId, moduleId, hostName, key } = column.identity;
      const resource = `${hostName}/devices/${deviceId}${moduleId ? `/modules/${moduleId}` : ''}`;
      const client = (moduleId ? ModuleClient : Client).fromSharedAccessSignature(hub.sas(resource, key, { seconds: 600 }), column.transport.of);
      column.client = client;
      await client.open();
      const [before, after] = [reading('before'), reading('after')];
      await client.sendEvent(before.message);
      await client.updateSharedAccessSignature(hub.sas(resource, key, { seconds: 1200 }));
      await client.sendEvent(after.message);
      await world.events(column.identity, before.text);
      await world.events(column.identity, after.text);
    },
  },
  {
    name: 'refused with another key or certificate',
    async act(world, column) {
      await close(column.client);
      const stranger = column.stranger();
      stranger.setRetryPolicy(new NoRetry());
      const { message } = reading('stranger');
      await assert.rejects(stranger.open().then(() => stranger.sendEvent(message)), error => error instanceof errors.UnauthorizedError || error.name === 'UnauthorizedError');
      await close(stranger);
    },
  },
];

/** Why a cell is empty; undefined when it is not. */
export const absence = (feature, column) => (isHttps(column) && column.kind.isModule ? sdk.moduleHttps : feature.absent?.(column) || undefined);

// Edge devices, their children, and children that come through their gateway.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import tls from 'node:tls';
import { readFileSync } from 'node:fs';
import iothub from 'azure-iothub';
import mqttPacket from 'mqtt-packet';
import * as hub from './hub.mjs';

const { Registry } = iothub;
let registry;

before(async () => {
  registry = Registry.fromConnectionString((await hub.start()).ownerConnectionString);
});
after(hub.stop);

const edge = async (deviceId, parent) => (await registry.create({ deviceId, capabilities: { iotEdge: true }, ...parent && { parentScopes: [parent.deviceScope] } })).responseBody;

/** What an edge hub shows: a token of its own module. */
async function gatewayToken(deviceId) {
  const { responseBody: module } = await registry.getModule(deviceId, '$edgeHub');
  return hub.sas(`${hub.endpoints().hostName}/devices/${deviceId}/modules/$edgeHub`, module.authentication.symmetricKey.primaryKey);
}

/** Connects as IoT Edge does over MQTT; answers the return code, and sends one message when it is let in. */
function through(clientId, token, chain, payload) {
  const { hostName, mqttsPort, caFile } = hub.endpoints();
  return new Promise((resolve, reject) => {
    const socket = tls.connect({ host: hostName, port: mqttsPort, servername: hostName, ca: readFileSync(caFile) });
    const parser = mqttPacket.parser();
    socket.on('error', reject);
    socket.on('data', chunk => parser.parse(chunk));
    socket.on('secureConnect', () => socket.write(mqttPacket.generate({
      cmd: 'connect', protocolId: 'MQTT', protocolVersion: 4, clean: true, clientId, keepalive: 60, password: token,
      username: `${hostName}/${clientId}/?api-version=2020-09-30&DeviceClientType=edge${chain ? `&auth-chain=${encodeURIComponent(chain)}` : ''}`,
    })));
    parser.on('packet', packet => {
      if (packet.cmd === 'connack' && packet.returnCode === 0 && payload) {
        const [device, module] = clientId.split('/');
        socket.write(mqttPacket.generate({ cmd: 'publish', topic: `devices/${device}/${module ? `modules/${module}/` : ''}messages/events/`, payload, qos: 1, messageId: 1 }));
      } else {
        socket.end();
        resolve(packet.cmd === 'connack' ? packet.returnCode : 0);
      }
    });
  });
}

test('Edge_Created_HasItsScopeAndTheRuntimesModules', { timeout: 20_000 }, async () => {
  const device = await edge('e-created');
  assert.match(device.deviceScope, /^ms-azure-iot-edge:\/\/e-created-\d{18}$/);
  assert.deepEqual(device.parentScopes, []);
  const { responseBody: modules } = await registry.getModulesOnDevice('e-created');
  assert.deepEqual(modules.map(module => module.moduleId).sort(), ['$edgeAgent', '$edgeHub']);
});

test('Edge_Children_HaveItsScope_AndQueriesSeeThem', { timeout: 20_000 }, async () => {
  const top = await edge('e-top');
  const low = await edge('e-low', top);
  const { responseBody: leaf } = await registry.create({ deviceId: 'e-leaf', deviceScope: low.deviceScope });
  assert.deepEqual(leaf.parentScopes, [low.deviceScope]);
  assert.deepEqual(low.parentScopes, [top.deviceScope]);

  // As the az CLI asks.
  const asked = registry.createQuery(`select deviceId from devices where array_contains(parentScopes, '${low.deviceScope}')`);
  assert.deepEqual((await asked.nextAsTwin()).result.map(twin => twin.deviceId), ['e-leaf']);
  const { responseBody: twin } = await registry.getTwin('e-leaf');
  assert.equal(twin.deviceScope, low.deviceScope);
});

test('Edge_ParentThatIsNone_IsArgumentError', { timeout: 20_000 }, async () => {
  await assert.rejects(registry.create({ deviceId: 'e-orphan', deviceScope: 'ms-azure-iot-edge://nobody-123456789012345678' }), error => error.name === 'ArgumentError' || error.constructor.name === 'ArgumentError');
});

test('Edge_Deleted_ItsChildrenStayWithoutAParent', { timeout: 20_000 }, async () => {
  const gone = await edge('e-gone');
  await registry.create({ deviceId: 'e-left', deviceScope: gone.deviceScope });
  await registry.delete('e-gone');
  const { responseBody: left } = await registry.get('e-left');
  assert.equal(left.deviceScope, undefined);
  assert.deepEqual(left.parentScopes, []);
});

test('Edge_Child_ComesThroughItsGateway_AsItself', { timeout: 30_000 }, async () => {
  const gateway = await edge('e-gateway');
  await registry.create({ deviceId: 'e-behind', deviceScope: gateway.deviceScope });
  const token = await gatewayToken('e-gateway');
  assert.equal(await through('e-behind', token, 'e-behind;e-gateway', 'hello'), 0);
  const [event] = await hub.events('e-behind');
  assert.equal(event.deviceId ?? event.annotations?.['iothub-connection-device-id'], 'e-behind');
  const diagnosis = await hub.cliJson(['device', 'diagnose', 'e-behind']);
  assert.ok(diagnosis.attempts.some(attempt => attempt.reason === 'through e-gateway/$edgeHub (e-behind;e-gateway)'));

  await registry.create({ deviceId: 'e-stranger' });
  assert.equal(await through('e-stranger', token, 'e-stranger;e-gateway'), 5);
  assert.equal(await through('e-behind', token, 'e-behind;e-other;e-gateway'), 5);
  assert.equal(await through('e-gateway/$edgeHub', token, 'e-gateway/$edgeHub;e-gateway'), 0);

  await hub.cliJson(['device', 'quarantine', 'e-gateway', '--reason', 'opened']);
  assert.equal(await through('e-behind', token, 'e-behind;e-gateway'), 5);
  assert.equal((await hub.cli(['device', 'release', 'e-gateway', '--reason', 'looked at'])).code, 0);
  assert.equal(await through('e-behind', token, 'e-behind;e-gateway'), 0);
});

test('Edge_Hub_IsToldWhatIsInItsScope_AndNobodyElseIs', { timeout: 30_000 }, async () => {
  const gateway = await edge('e-scope');
  for (const n of [1, 2, 3]) await registry.create({ deviceId: `e-scope-leaf${n}`, deviceScope: gateway.deviceScope });
  const authorization = await gatewayToken('e-scope');
  const seen = { devices: [], modules: [] };
  let link = '/devices/e-scope/modules/%24edgeHub/devicesAndModulesInDeviceScope?deviceCount=2&continuationToken=&api-version=2018-08-30-preview';
  while (link) {
    const { status, text } = await hub.request('GET', link, { headers: { authorization } });
    assert.equal(status, 200, text);
    const page = JSON.parse(text);
    seen.devices.push(...page.devices);
    seen.modules.push(...page.modules);
    link = page.continuationLink;
  }
  assert.deepEqual(seen.devices.map(device => device.deviceId), ['e-scope', 'e-scope-leaf1', 'e-scope-leaf2', 'e-scope-leaf3']);
  assert.deepEqual(seen.modules.map(module => module.moduleId), ['$edgeAgent', '$edgeHub']);
  assert.equal(Buffer.from(seen.devices[1].authentication.symmetricKey.primaryKey, 'base64').length, 32);
  assert.equal((await hub.request('GET', '/devices/e-scope/modules/%24edgeHub/devicesAndModulesInDeviceScope')).status, 401);
});

test('Edge_Cli_ParentsAndChildren', { timeout: 60_000 }, async () => {
  await edge('e-cli');
  await edge('e-cli2');
  await registry.create({ deviceId: "e-cli-leaf'1" });
  await hub.cliJson(['device-identity', 'parent', 'set', '-d', "e-cli-leaf'1", '--pd', 'e-cli']);
  assert.equal((await hub.cliJson(['device-identity', 'parent', 'show', '-d', "e-cli-leaf'1"])).deviceId, 'e-cli');
  assert.deepEqual(await hub.cliJson(['device-identity', 'children', 'list', '-d', 'e-cli']), [{ deviceId: "e-cli-leaf'1" }]);
  const refused = await hub.cli(['device-identity', 'children', 'add', '-d', 'e-cli2', '--cl', "e-cli-leaf'1"]);
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /--force/);
  await hub.cliJson(['device-identity', 'children', 'add', '-d', 'e-cli2', '--cl', "e-cli-leaf'1", '--force']);
  assert.equal((await hub.cli(['device-identity', 'children', 'remove', '-d', 'e-cli2', '--remove-all'])).code, 0);
  assert.deepEqual(await hub.cliJson(['device-identity', 'children', 'list', '-d', 'e-cli2']), []);
});

// What clients of other languages put on the wire (reference: their observed packets), one test a habit.
import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { after, before, test } from 'node:test';
import * as hub from './hub.mjs';
import { Wire } from './wire.mjs';

before(() => hub.start());
after(hub.stop);

test('C_SeveralFiltersOfMixedQoSInOneSubscribe_AreAllGranted', async () => {
  const device = await hub.device('c-subscribe');
  const wire = await Wire.open();
  assert.equal((await wire.connect(device)).returnCode, 0);
  const suback = await wire.subscribe([`devices/${device.deviceId}/messages/devicebound/#`, 1], ['$iothub/twin/res/#', 0], ['$iothub/methods/POST/#', 0]);
  assert.deepEqual(suback.granted, [1, 0, 0]);
  await wire.close();
});

test('C_UnencodedPropertyBag_KeepsSpacesAndSlashes', async () => {
  const device = await hub.device('c-bag');
  const wire = await Wire.open();
  await wire.connect(device);
  await wire.publish(`devices/${device.deviceId}/messages/events/k 1=v/1&%24.cid=c/1&%24.mid=mid/1&%24.ct=application/json`, '{}');
  await wire.close();
  const [event] = await hub.events(device.deviceId);
  assert.equal(event.properties['k 1'], 'v/1');
  assert.equal(event.systemProperties['message-id'], 'mid/1');
  assert.equal(event.systemProperties['content-type'], 'application/json');
});

test('C_UnencodedResourceAndLowerCaseEscapes_AreAccepted', async () => {
  const device = await hub.device('c-token');
  const sr = `${device.hostName}/devices/${device.deviceId}`;
  const se = Math.floor(Date.now() / 1000) + 3600;
  const sig = encodeURIComponent(createHmac('sha256', Buffer.from(device.key, 'base64')).update(`${sr}\n${se}`).digest('base64'))
    .replace(/%[0-9A-F]{2}/g, escape => escape.toLowerCase());
  const wire = await Wire.open();
  assert.equal((await wire.connect(device, { password: `SharedAccessSignature sr=${sr}&sig=${sig}&se=${se}&skn=` })).returnCode, 0);
  await wire.close();
});

test('Java_RawDollarKeysAndTrailingSlash_AreSystemProperties', async () => {
  const device = await hub.device('java');
  const wire = await Wire.open();
  await wire.connect(device);
  await wire.publish(`devices/${device.deviceId}/messages/events/$.mid=j-1&$.ct=text%2Fplain&a=b/`, 'x');
  await wire.close();
  const [event] = await hub.events(device.deviceId);
  assert.equal(event.systemProperties['message-id'], 'j-1');
  assert.equal(event.properties.a, 'b');
});

test('Go_UserNameWithoutQuestionMarkAndHostOnlyResource_IsLetIn', async () => {
  const device = await hub.device('go');
  const wire = await Wire.open();
  const connack = await wire.connect(device, {
    clean: true,
    userName: `${device.hostName}/${device.deviceId}/api-version=2020-09-30`,
    password: hub.sas(device.hostName, device.key),
  });
  assert.equal(connack.returnCode, 0);
  await wire.close();
});

test('HandWritten_OwnerPolicyToken_ConnectsAsDevice', async () => {
  const device = await hub.device('policy');
  const { SharedAccessKey } = hub.parts(hub.endpoints().ownerConnectionString);
  const wire = await Wire.open();
  assert.equal((await wire.connect(device, { password: hub.sas(device.hostName, SharedAccessKey, { policy: 'iothubowner' }) })).returnCode, 0);
  await wire.close();
});

test('Python_QoS1TwinGet_IsAcknowledgedAndAnswered', async () => {
  const device = await hub.device('python');
  const wire = await Wire.open();
  await wire.connect(device);
  await wire.subscribe(['$iothub/twin/res/#', 1]);
  wire.send({ cmd: 'publish', topic: '$iothub/twin/GET/?$rid=abc', payload: ' ', qos: 1, messageId: 9, dup: false, retain: false });
  const packets = [await wire.receive(), await wire.receive()];
  assert.ok(packets.some(packet => packet.cmd === 'puback' && packet.messageId === 9));
  const answer = packets.find(packet => packet.cmd === 'publish');
  assert.equal(answer.topic, '$iothub/twin/res/200/?$rid=abc');
  assert.deepEqual(JSON.parse(answer.payload), { desired: { $version: 1 }, reported: { $version: 1 } });
  await wire.close();
});

test('CSharp_TrailingSlashAndNullValue_AreUnderstood', async () => {
  const device = await hub.device('csharp');
  const wire = await Wire.open();
  await wire.connect(device);
  await wire.publish(`devices/${device.deviceId}/messages/events/nothing&empty=&%24.ce=utf-8/`, '1');
  await wire.close();
  const [event] = await hub.events(device.deviceId);
  assert.deepEqual(event.properties, { nothing: null, empty: '' });
});

test('Session_CleanZero_SubscriptionsSurviveReconnectAndRestart', async () => {
  const device = await hub.device('session');
  let wire = await Wire.open();
  assert.equal((await wire.connect(device)).sessionPresent, false);
  await wire.subscribe(['$iothub/twin/res/#', 0]);
  await wire.close();

  assert.equal(await hub.stop(), 0);
  await hub.start();
  wire = await Wire.open();
  assert.equal((await wire.connect(device)).sessionPresent, true);
  wire.publish('$iothub/twin/GET/?$rid=1', '', { qos: 0 });
  assert.equal((await wire.receive()).topic, '$iothub/twin/res/200/?$rid=1');
  await wire.close();

  wire = await Wire.open();
  assert.equal((await wire.connect(device, { clean: true })).sessionPresent, false);
  await wire.close();
  wire = await Wire.open();
  assert.equal((await wire.connect(device)).sessionPresent, false);
  await wire.close();
});

test('Will_OfADroppedConnection_ArrivesAsTelemetry', async () => {
  const device = await hub.device('will');
  const wire = await Wire.open();
  await wire.connect(device, { will: { topic: `devices/${device.deviceId}/messages/events/a=b`, payload: 'gone', qos: 1, retain: false } });
  await wire.close();
  let arrived;
  do arrived = await hub.events(device.deviceId); while (arrived.length === 0);
  assert.equal(arrived[0].body, 'gone');
  assert.equal(arrived[0].properties['iothub-MessageType'], 'Will');
});

test('Retain_BecomesAProperty', async () => {
  const device = await hub.device('retain');
  const wire = await Wire.open();
  await wire.connect(device);
  await wire.publish(`devices/${device.deviceId}/messages/events/`, 'x', { retain: true });
  await wire.close();
  const [event] = await hub.events(device.deviceId);
  assert.equal(event.properties['mqtt-retain'], 'true');
});

for (const [habit, act] of Object.entries({
  'a QoS 2 publish': (wire, device) => wire.publish(`devices/${device.deviceId}/messages/events/`, 'x', { qos: 2 }),
  'the topic of another device': wire => wire.publish('devices/somebody-else/messages/events/', 'x'),
  'a 257 KB message': (wire, device) => wire.publish(`devices/${device.deviceId}/messages/events/`, Buffer.alloc(257 * 1024)),
  'a bag with bad escapes': (wire, device) => wire.publish(`devices/${device.deviceId}/messages/events/a=%zz`, 'x'),
  'a second CONNECT': (wire, device) => wire.connect(device),
  'bytes that are no packet': wire => { wire.raw(Buffer.from([0xf0, 0xff, 0xff, 0xff, 0xff, 0xff])); return wire.receive(); },
})) {
  test(`Connection_After_${habit.replaceAll(' ', '_')}_IsClosedAndOthersGoOn`, async () => {
    const bystander = await hub.device('bystander');
    const other = await Wire.open();
    await other.connect(bystander);
    const device = await hub.device('offender');
    const wire = await Wire.open();
    await wire.connect(device);
    await assert.rejects(act(wire, device), /closed the connection/);
    assert.equal((await hub.events(device.deviceId)).length, 0);
    assert.equal((await other.publish(`devices/${bystander.deviceId}/messages/events/`, 'still here')).cmd, 'puback');
    await other.close();
  });
}

test('Subscribe_OutsideTheOwnFilters_IsRefusedInTheSuback', async () => {
  const device = await hub.device('filters');
  const wire = await Wire.open();
  await wire.connect(device);
  const suback = await wire.subscribe(['#', 1], ['devices/somebody-else/messages/devicebound/#', 1], ['$iothub/twin/res/#', 1]);
  assert.deepEqual(suback.granted, [128, 128, 1]);
  await wire.close();
});

test('Property_SpoofingTheHub_IsRemoved', async () => {
  const device = await hub.device('spoof');
  const wire = await Wire.open();
  await wire.connect(device);
  await wire.publish(`devices/${device.deviceId}/messages/events/iothub-connection-device-id=admin&x-opt-offset=9&fine=1`, 'x');
  await wire.close();
  const [event] = await hub.events(device.deviceId);
  assert.deepEqual(event.properties, { fine: '1' });
  assert.equal(event.annotations['iothub-connection-device-id'], device.deviceId);
});

test('Connect_WithProtocolLevel3_IsAnsweredWith1', async () => {
  const wire = await Wire.open();
  wire.raw(Buffer.from([0x10, 15, 0, 4, ...Buffer.from('MQTT'), 3, 2, 0, 60, 0, 3, ...Buffer.from('abc')]));
  assert.equal((await wire.receive()).returnCode, 1);
  await wire.close();
});
